"""Figure 10: score gaps on the HHH evaluation, and agreement.

  python -m experiments.figures.fig10 \
    --config=configs/figures/fig10.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER and
--config.hhh_file=PATH, the evaluation's jsonl file or BIG-bench folder.
"""

from configs import presets
from configs.figures import models


def get_config(arg: str | None = None):
  return presets.config_of(models.hhh, arg)
