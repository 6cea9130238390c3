"""Figure 1: Elo by size.

  python -m experiments.figures.fig01 \
    --config=configs/figures/fig01.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
nano ladder up to nano2. World hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.elo, arg)
