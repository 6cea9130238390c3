"""Figure 11: the worst failures on the HHH evaluation.

python -m experiments.figures.fig11 \
    --config=configs/figures/fig11.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import HHHConfig
from hh_jax.launch import cli


def main(config: HHHConfig, workdir: str) -> str:
  from hh_jax.report import hhh_figures, publish
  from hh_jax.stages.studies import hhh

  figure = publish.Figure(
    'fig11',
    'Figure 11: the worst failures on the HHH evaluation',
    'The items on which the largest preference model prefers the worse '
    'reply by most.',
    hhh.fig11,
    hhh_figures.fig11,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, HHHConfig)
