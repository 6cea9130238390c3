"""Preference-model pretraining against comparisons (Askell et al. 2021).

  python -m experiments.figures.pmp_transfer \
    --config=configs/figures/pmp_transfer.py:world=lab,size=nano \
    --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER;
--config.counts is for the official files and must be lowered for less.
"""

from configs import presets
from configs.figures import models
from hh_jax.config import TransferConfig


def build(choice: presets.Choice) -> TransferConfig:
  return TransferConfig(
    **models.stages(choice),
    counts=models.transfer_counts(choice),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
