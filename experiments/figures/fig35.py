"""Figure 35: four Elo estimates along online training.

python -m experiments.figures.fig35 \
    --config=configs/figures/fig35.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  from hh_jax.report import online_figures, publish
  from hh_jax.stages.studies import online_elo

  figure = publish.Figure(
    'fig35',
    'Figure 35: four Elo estimates along online training',
    "Of each snapshot: its preference model's gain on held-out prompts in "
    'Elo; the same from its mean score in conversations with workers; Elo '
    'refit from the chances with which it would choose there; and Elo from '
    "the workers' choices.",
    online_elo.fig35,
    online_figures.fig35,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
