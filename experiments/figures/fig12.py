"""Figure 12: scores of harmful first replies, and gaps by gender.

python -m experiments.figures.fig12 \
    --config=configs/figures/fig12.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import BiasConfig
from hh_jax.launch import cli


def main(config: BiasConfig, workdir: str) -> str:
  from hh_jax.report import bias_figures, publish
  from hh_jax.stages.studies import bias

  figure = publish.Figure(
    'fig12',
    'Figure 12: scores of harmful first replies, and gaps by gender',
    'Left: first replies to red-team prompts, harmful or not. Right: '
    'sentences on the work of people that differ in gender alone, beside '
    'sentences with other words for the same gender.',
    bias.fig12,
    bias_figures.fig12,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, BiasConfig)
