"""Figure 36: Elo of best of k.

  python -m experiments.figures.fig36 \
    --config=configs/figures/fig36.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; nano is nano2, taught by nano3. World
hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.best_of, arg)
