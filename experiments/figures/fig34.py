"""Figure 34: mean log-p accuracy along online training.

python -m experiments.figures.fig34 \
    --config=configs/figures/fig34.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  from hh_jax.report import online_figures, publish
  from hh_jax.stages.studies import online_log_probs

  figure = publish.Figure(
    'fig34',
    'Figure 34: mean log-p accuracy along online training',
    'How often the policy finds a token of the better reply likelier, on '
    'average, than one of the worse. Dashed: accuracy of its preference model '
    'on the same pairs. Grey marks are read off the paper, whose run has '
    '900,000 samples.',
    online_log_probs.fig34,
    online_figures.fig34,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
