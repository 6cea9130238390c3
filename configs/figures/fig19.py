"""Figure 19: either accuracy against the share of harmless data.

  python -m experiments.figures.fig19 \
    --config=configs/figures/fig19.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER;
--config.num_comparisons is for the official files and must be lowered for less.
"""

from configs import presets
from configs.figures import models


def get_config(arg: str | None = None):
  return presets.config_of(models.mixtures, arg)
