"""One iteration of online RLHF (Bai et al. 2022, section 4.5).

  python -m experiments.online --config=configs/online.py:world=lab,size=nano2 \
    --iteration=0 --workdir=runs/online

Arguments as in configs/pretrain.py; nano is nano2, taught by nano3. World
hh needs --config.data_dir=FOLDER, and --config.tranche=FOLDER from iteration 1
on.
"""

import dataclasses

from configs import presets
from configs.figures import policies
from hh_jax.config import OnlineConfig


def build(choice: presets.Choice) -> OnlineConfig:
  """Returns the config of the figures, from the first iteration on."""
  return dataclasses.replace(policies.online(choice), iteration=0)


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
