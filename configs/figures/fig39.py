"""Figure 39: relative against plain Mahalanobis distance.

  python -m experiments.figures.fig39 \
    --config=configs/figures/fig39.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import models


def get_config(arg: str | None = None):
  return presets.config_of(models.outlier_detection, arg)
