"""Figure 20: comparisons of summaries mixed in.

python -m experiments.figures.fig20 \
    --config=configs/figures/fig20.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import FigureConfig
from hh_jax.launch import cli


def main(config: FigureConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import summarization

  figure = publish.Figure(
    'fig20',
    'Figure 20: comparisons of summaries mixed in',
    'Models of dialogues alone, of summaries alone and of both together, '
    'each tested on both. The mixture should lose on neither.',
    summarization.fig20,
    paper_figures.fig20,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, FigureConfig)
