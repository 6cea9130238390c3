"""Figure 13: PM scores against √KL.

  python -m experiments.figures.fig13 \
    --config=configs/figures/fig13.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
nano ladder up to nano2. World hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.robustness, arg)
