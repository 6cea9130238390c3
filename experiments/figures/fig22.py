"""Figure 22: harmful prompts by relative Mahalanobis distance.

python -m experiments.figures.fig22 \
    --config=configs/figures/fig22.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import OODConfig
from hh_jax.launch import cli


def main(config: OODConfig, workdir: str) -> str:
  from hh_jax.report import ood_figures, publish
  from hh_jax.stages.studies import ood

  figure = publish.Figure(
    'fig22',
    'Figure 22: harmful prompts by relative Mahalanobis distance',
    'How well activations tell harmful prompts from helpful ones, by layer.'
    ' Only helpful prompts were seen; larger scores are further from them.',
    ood.fig22,
    ood_figures.fig22,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, OODConfig)
