"""Figure 9: calibration of the mixture and of the helpful model.

  python -m experiments.figures.fig09 \
    --config=configs/figures/fig09.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER.
"""

import dataclasses

from configs import presets
from configs.figures import models
from hh_jax.config import CalibrationConfig

TEST_FRACTION = 0.35  # 65/35 [§3.3]


def build(choice: presets.Choice) -> CalibrationConfig:
  shared = models.stages(choice)
  data = dataclasses.replace(shared['pm'].data, test_fraction=TEST_FRACTION)
  shared['pm'] = dataclasses.replace(shared['pm'], data=data, curve_points=0)
  # The largest alone, as in the paper.
  return CalibrationConfig(**{**shared, 'sizes': shared['sizes'][-1:]})


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
