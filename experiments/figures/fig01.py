"""Figure 1: Elo by size.

python -m experiments.figures.fig01 \
    --config=configs/figures/fig01.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import EloConfig
from hh_jax.launch import cli


def main(config: EloConfig, workdir: str) -> str:
  from hh_jax.report import preference_figures, publish
  from hh_jax.stages.studies import elo

  figure = publish.Figure(
    'fig01',
    'Figure 1: Elo by size',
    'Context-distilled policies, RLHF on prompts of both sides and on helpful '
    'ones alone. Helpfulness is Elo on helpful prompts, harmlessness on red-'
    'team prompts; the band is writers of known strength, grey marks are read '
    'off the paper.',
    elo.fig01,
    preference_figures.fig01,
    preference_figures.say_fig01,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, EloConfig)
