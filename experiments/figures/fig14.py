"""Figure 14: helpful and harmless scores, and over-refusal.

python -m experiments.figures.fig14 \
    --config=configs/figures/fig14.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import TensionConfig
from hh_jax.launch import cli


def main(config: TensionConfig, workdir: str) -> str:
  from hh_jax.report import preference_figures, publish
  from hh_jax.stages.studies import tension

  figure = publish.Figure(
    'fig14',
    'Figure 14: helpful and harmless scores, and over-refusal',
    'Scores of held-out replies of either side, with the trained policy '
    'marked; the policy in training; and policies trained with other shares '
    'of harmless prompts.',
    tension.fig14,
    preference_figures.fig14,
    preference_figures.say_fig14,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, TensionConfig)
