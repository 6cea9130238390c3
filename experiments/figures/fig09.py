"""Figure 9: calibration of the mixture and of the helpful model.

python -m experiments.figures.fig09 \
    --config=configs/figures/fig09.py:world=lab,size=nano --workdir=runs/figures
"""

from hh_jax.config import CalibrationConfig
from hh_jax.launch import cli


def main(config: CalibrationConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import calibration

  figure = publish.Figure(
    'fig09',
    'Figure 9: calibration of the mixture and of the helpful model',
    'A score gap Δ claims to be right with probability 1 / (1 + exp(−Δ)), '
    'the dotted line. Above it a model is under-confident. The calibration '
    'error (ECE) is the mean distance from it, less what noise adds.',
    calibration.fig09,
    paper_figures.fig09,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, CalibrationConfig)
