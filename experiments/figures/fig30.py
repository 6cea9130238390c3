"""Figure 30: context distillation by size of the student.

python -m experiments.figures.fig30 \
    --config=configs/figures/fig30.py:world=lab,size=nano \
    --workdir=runs/figures
"""

from hh_jax.config import FigureConfig
from hh_jax.launch import cli


def main(config: FigureConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import distillation

  figure = publish.Figure(
    'fig30',
    'Figure 30: context distillation by size of the student',
    'Divergence of a student without the HHH prompt from the largest size '
    'with it, in nats a token. Below: gold score that the prompt adds to '
    'the teacher, and what the student keeps of it.',
    distillation.fig30,
    paper_figures.fig30,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, FigureConfig)
