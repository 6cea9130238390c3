"""Figure 14: helpful and harmless scores, and over-refusal.

  python -m experiments.figures.fig14 \
    --config=configs/figures/fig14.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; nano is nano2, taught by nano3. World
hh needs --config.data_dir=FOLDER.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.tension, arg)
