"""Figure 19: either accuracy against the share of harmless data.

python -m experiments.figures.fig19 \
    --config=configs/figures/fig19.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import MixtureConfig
from hh_jax.launch import cli


def main(config: MixtureConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import mixtures

  figure = publish.Figure(
    'fig19',
    'Figure 19: either accuracy against the share of harmless data',
    'Models of mixtures from helpful alone (0) to harmless alone (1), their'
    ' total fixed. A model of one side is worse than chance on the other.',
    mixtures.fig19,
    paper_figures.fig19,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, MixtureConfig)
