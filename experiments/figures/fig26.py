"""Figure 26: mean accuracy against the mixture.

python -m experiments.figures.fig26 \
    --config=configs/figures/fig26.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import MixtureConfig
from hh_jax.launch import cli


def main(config: MixtureConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import mixtures

  figure = publish.Figure(
    'fig26',
    'Figure 26: mean accuracy against the mixture',
    'The mean of the accuracies on either side, raw and relative to the '
    'best mixture of the same size, and what the most lopsided mixtures of '
    'both sides lose against the even one. In the paper larger models depend '
    'less on the mixture.',
    mixtures.fig26,
    paper_figures.fig26,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, MixtureConfig)
