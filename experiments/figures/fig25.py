"""Figure 25: accuracy where both replies score high.

python -m experiments.figures.fig25 \
    --config=configs/figures/fig25.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import ScalingConfig
from hh_jax.launch import cli


def main(config: ScalingConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import slices

  figure = publish.Figure(
    'fig25',
    'Figure 25: accuracy where both replies score high',
    'Accuracy among comparisons both of whose replies score above a '
    'threshold. Good replies are harder to tell apart.',
    slices.fig25,
    paper_figures.fig25,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, ScalingConfig)
