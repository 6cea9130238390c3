"""Figure 13: PM scores against √KL.

python -m experiments.figures.fig13 \
    --config=configs/figures/fig13.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import RobustnessConfig
from hh_jax.launch import cli


def main(config: RobustnessConfig, workdir: str) -> str:
  from hh_jax.report import publish, robustness_figures
  from hh_jax.stages.studies import robustness

  figure = publish.Figure(
    'fig13',
    'Figure 13: PM scores against √KL',
    'Policies of every size against the train-PM of the largest size and of '
    'their own. Lines are fitted from √KL 0.5 to half the largest.',
    robustness.fig13,
    robustness_figures.fig13,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, RobustnessConfig)
