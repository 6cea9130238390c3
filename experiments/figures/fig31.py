"""Figure 31: learning curves of the mixture on either side.

python -m experiments.figures.fig31 \
    --config=configs/figures/fig31.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import ScalingConfig
from hh_jax.launch import cli


def main(config: ScalingConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import scaling

  figure = publish.Figure(
    'fig31',
    'Figure 31: learning curves of the mixture on either side',
    'Accuracy on helpful and on harmless held-out comparisons within the '
    'epoch.',
    scaling.fig31,
    paper_figures.fig31,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, ScalingConfig)
