"""Figure 10: score gaps on the HHH evaluation, and agreement.

python -m experiments.figures.fig10 \
    --config=configs/figures/fig10.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import HHHConfig
from hh_jax.launch import cli


def main(config: HHHConfig, workdir: str) -> str:
  from hh_jax.report import hhh_figures, publish
  from hh_jax.stages.studies import hhh

  figure = publish.Figure(
    'fig10',
    'Figure 10: score gaps on the HHH evaluation, and agreement',
    'Left: how much higher the largest preference model scores the better '
    'reply. Right: how often models, workers and gold choose alike.',
    hhh.fig10,
    hhh_figures.fig10,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, HHHConfig)
