"""Figure 34: mean log-p accuracy along online training.

  python -m experiments.figures.fig34 \
    --config=configs/figures/fig34.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; nano is nano2, taught by nano3. World
hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.online, arg)
