"""Figure 16: online data against base data of the same size.

python -m experiments.figures.fig16 \
    --config=configs/figures/fig16.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  from hh_jax.report import online_figures, publish
  from hh_jax.stages.studies import online_mix

  figure = publish.Figure(
    'fig16',
    'Figure 16: online data against base data of the same size',
    'Preference models of as many helpful comparisons: of the base tranche '
    'alone, or a third each of base, best-of-k and online. Elo of a policy '
    'against each, on the same held-out prompts; grey marks are read off the '
    'paper, whose run has 200,000 samples.',
    online_mix.fig16,
    online_figures.fig16,
    online_figures.say_fig16,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
