"""Figure 15: Elo along online training.

python -m experiments.figures.fig15 \
    --config=configs/figures/fig15.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  from hh_jax.report import online_figures, publish
  from hh_jax.stages.studies import online_elo

  figure = publish.Figure(
    'fig15',
    'Figure 15: Elo along online training',
    'Left: scores of held-out helpful replies by the preference model of all '
    'tranches, by tranche. Then Elo of snapshots by the choices of workers who '
    'talked with them, beside what the preference model predicts from held-out '
    'prompts, for policies of both sides and of the helpful side alone.',
    online_elo.fig15,
    online_figures.fig15,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
