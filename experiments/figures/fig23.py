"""Figure 23: harmful prompts after a few examples.

python -m experiments.figures.fig23 \
    --config=configs/figures/fig23.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OODConfig
from hh_jax.launch import cli


def main(config: OODConfig, workdir: str) -> str:
  from hh_jax.report import ood_figures, publish
  from hh_jax.stages.studies import ood

  figure = publish.Figure(
    'fig23',
    'Figure 23: harmful prompts after a few examples',
    'A linear classifier on the same activations that was shown a few '
    'harmful prompts.',
    ood.fig23,
    ood_figures.fig23,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OODConfig)
