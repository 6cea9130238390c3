"""Figure 33: test-PM scores by size of policy and test-PM.

python -m experiments.figures.fig33 \
    --config=configs/figures/fig33.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import RobustnessConfig
from hh_jax.launch import cli


def main(config: RobustnessConfig, workdir: str) -> str:
  from hh_jax.report import publish, robustness_figures
  from hh_jax.stages.studies import robustness

  figure = publish.Figure(
    'fig33',
    'Figure 33: test-PM scores by size of policy and test-PM',
    'After the same number of samples, scored by test-PMs of every size; each '
    'has its mean on held-out comparisons subtracted.',
    robustness.fig33,
    robustness_figures.fig33,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, RobustnessConfig)
