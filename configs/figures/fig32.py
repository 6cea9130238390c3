"""Figure 32: preference models by size and number of comparisons.

  python -m experiments.figures.fig32 \
    --config=configs/figures/fig32.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER;
--config.counts is for the official files and must be lowered for less.
"""

from configs import presets
from configs.figures import models


def get_config(arg: str | None = None):
  return presets.config_of(models.scaling, arg)
