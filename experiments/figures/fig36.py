"""Figure 36: Elo of best of k.

python -m experiments.figures.fig36 \
    --config=configs/figures/fig36.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import BestOfConfig
from hh_jax.launch import cli


def main(config: BestOfConfig, workdir: str) -> str:
  from hh_jax.report import preference_figures, publish
  from hh_jax.stages.studies import best_of

  figure = publish.Figure(
    'fig36',
    'Figure 36: Elo of best of k',
    'Best of k replies by the helpful-only preference model, every k with '
    'replies of its own, on helpful prompts; equal replies are ties. The band '
    'is RLHF against the same preference model; grey marks are read off the '
    'paper.',
    best_of.fig36,
    preference_figures.fig36,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, BestOfConfig)
