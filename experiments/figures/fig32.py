"""Figure 32: preference models by size and number of comparisons.

python -m experiments.figures.fig32 \
    --config=configs/figures/fig32.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import ScalingConfig
from hh_jax.launch import cli


def main(config: ScalingConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import scaling

  figure = publish.Figure(
    'fig32',
    'Figure 32: preference models by size and number of comparisons',
    'Within the epoch: models of helpful comparisons, and of summaries. At '
    'its end: models of either side and of both by number of comparisons. '
    'The law is accuracy = a + b ln P + c ln D (eq. A.1).',
    scaling.fig32,
    paper_figures.fig32,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, ScalingConfig)
