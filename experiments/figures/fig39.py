"""Figure 39: relative against plain Mahalanobis distance.

python -m experiments.figures.fig39 \
    --config=configs/figures/fig39.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OODConfig
from hh_jax.launch import cli


def main(config: OODConfig, workdir: str) -> str:
  from hh_jax.report import ood_figures, publish
  from hh_jax.stages.studies import ood

  figure = publish.Figure(
    'fig39',
    'Figure 39: relative against plain Mahalanobis distance',
    'The same by both distances, by layer and size.',
    ood.fig39,
    ood_figures.fig39,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OODConfig)
