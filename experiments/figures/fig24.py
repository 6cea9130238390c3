"""Figure 24: preference-model scores of writers and of policies.

python -m experiments.figures.fig24 \
    --config=configs/figures/fig24.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import WritersConfig
from hh_jax.launch import cli


def main(config: WritersConfig, workdir: str) -> str:
  from hh_jax.report import preference_figures, publish
  from hh_jax.stages.studies import writers

  figure = publish.Figure(
    'fig24',
    'Figure 24: writers and policies',
    'Scores of replies to helpful prompts by the preference model of both '
    'sides: writers of known strength, and the median of 17 replies of either '
    'policy.',
    writers.fig24,
    preference_figures.fig24,
    preference_figures.say_fig24,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, WritersConfig)
