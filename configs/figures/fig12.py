"""Figure 12: scores of harmful first replies, and gaps by gender.

  python -m experiments.figures.fig12 \
    --config=configs/figures/fig12.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py. World hh needs --config.data_dir=FOLDER;
--config.replies_file=FILE takes first replies of Bot Adversarial Dialogues or
any others, as JSON lines of {prompt, reply, is_harmful}. The sentences about
gender are plain English: in the lab their words are unknown.
"""

from configs import presets
from configs.figures import models
from hh_jax.config import BiasConfig


def build(choice: presets.Choice) -> BiasConfig:
  return BiasConfig(
    **models.stages(choice), num_replies=choice.pick(2000, 500, 40)
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
