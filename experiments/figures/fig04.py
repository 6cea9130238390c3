"""Figure 4: train- and test-PM along RLHF.

python -m experiments.figures.fig04 \
    --config=configs/figures/fig04.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import RobustnessConfig
from hh_jax.launch import cli


def main(config: RobustnessConfig, workdir: str) -> str:
  from hh_jax.report import publish, robustness_figures
  from hh_jax.stages.studies import robustness

  figure = publish.Figure(
    'fig04',
    'Figure 4: train- and test-PM along RLHF',
    'Two preference models of each size are trained on independent halves of '
    'the comparisons; RLHF sees one of them. Marked is where the gain under '
    'it leaves that under the other for good: there RLHF should stop. For '
    'comparison, the point where the gain under the other is highest is marked '
    'too; both are known without the truth. Gaps are in nats of preference. '
    'Grey marks are read off the paper.',
    robustness.fig04,
    robustness_figures.fig04,
    robustness_figures.say_fig04,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, RobustnessConfig)
