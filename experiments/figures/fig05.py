"""Figure 5, left: the HHH evaluation by size.

python -m experiments.figures.fig05 \
    --config=configs/figures/fig05.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import HHHConfig
from hh_jax.launch import cli


def main(config: HHHConfig, workdir: str) -> str:
  from hh_jax.report import hhh_figures, publish
  from hh_jax.stages.studies import hhh

  figure = publish.Figure(
    'fig05',
    'Figure 5, left: the HHH evaluation by size',
    'Accuracy on pairs of a better and a worse reply: of the plain language'
    ' model and of the one that the HHH prompt was distilled into, by mean '
    'log-probability a token, and of the preference model.',
    hhh.fig05,
    hhh_figures.fig05,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, HHHConfig)
