"""Preference models by 5-fold cross-validation (sections 3.2 and 5.1).

  python -m experiments.folds --config=configs/folds.py:world=hh,size=nano \
    --config.init_from=runs/hh/pmp --config.data.data_dir=FOLDER \
    --workdir=runs/folds

Arguments as in configs/pretrain.py.

Nano on real comparisons on 2 CPU cores: 28 minutes; results/folds_hh.json.
"""

import dataclasses

from configs import pm, presets
from hh_jax.config import DataConfig, FoldsConfig, LoopConfig


def build(choice: presets.Choice) -> FoldsConfig:
  model = pm.build(choice)
  return FoldsConfig(
    data=dataclasses.replace(model.data, test_fraction=0.0),
    loop=model.loop,
    pm=dataclasses.replace(model, data=DataConfig(), loop=LoopConfig()),
    num_folds=choice.pick(5, 5, 2),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
