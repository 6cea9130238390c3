"""Figure 27: accuracies against the weight of harmless comparisons.

python -m experiments.figures.fig27 \
    --config=configs/figures/fig27.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import MixtureConfig
from hh_jax.launch import cli


def main(config: MixtureConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import mixtures

  figure = publish.Figure(
    'fig27',
    'Figure 27: accuracies against the weight of harmless comparisons',
    'The loss of harmless comparisons is multiplied by λ.',
    mixtures.fig27,
    paper_figures.fig27,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, MixtureConfig)
