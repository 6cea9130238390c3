"""Figure 8: held-out comparisons and accuracy by turn.

python -m experiments.figures.fig08 \
    --config=configs/figures/fig08.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import ScalingConfig
from hh_jax.launch import cli


def main(config: ScalingConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import slices

  figure = publish.Figure(
    'fig08',
    'Figure 8: held-out comparisons and accuracy by turn',
    'How many held-out comparisons judge each turn of a dialogue, and how '
    'often the model is right there.',
    slices.fig08,
    paper_figures.fig08,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, ScalingConfig)
