"""Figure 7: preference-model accuracy within the epoch and by size.

python -m experiments.figures.fig07 \
    --config=configs/figures/fig07.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import ScalingConfig
from hh_jax.launch import cli


def main(config: ScalingConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import scaling

  figure = publish.Figure(
    'fig07',
    'Figure 7: preference-model accuracy within the epoch and by size',
    'Accuracy on held-out comparisons, of models trained on the mixture. '
    'Left: within the one epoch. Right: at its end, by size. Dashed is what '
    'knowing the true utilities reaches, where they are known; grey marks are '
    'read off the paper.',
    scaling.fig07,
    paper_figures.fig07,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, ScalingConfig)
