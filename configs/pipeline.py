"""The whole paper: pretraining to evaluated assistant, and a report.

  python -m experiments.pipeline \
    --config=configs/pipeline.py:world=lab --workdir=runs/lab
  python -m experiments.pipeline --config=configs/pipeline.py:world=hh \
    --config.data_dir=FOLDER --workdir=runs/hh

Arguments as in configs/pretrain.py. Every stage's fields can be overridden,
--config.rlhf.kl_coef=0.01, but those that are one for all stages: seed, world
and data_dir.

On 2 CPU cores each stays below an hour; the lab meets 9 of its 9 targets.
"""

import dataclasses

from configs import (
  distill,
  evaluate,
  pm,
  pmp,
  presets,
  pretrain,
  rejection,
  rlhf,
)
from hh_jax.config import PipelineConfig, PMConfig

# Of the training comparisons this part trains the PM that rewards, the rest
# the held-out one. Deviation: the robustness study halves them [§4.2]; here
# the PM that rewards is also the one whose accuracy is reported.
TRAIN_SPAN = 0.7


def build(choice: presets.Choice) -> PipelineConfig:
  mixture = pm.build(choice)
  # The single-side PMs of the lab take fewer comparisons, to fit the hour.
  most = choice.pick(30_000, 0, 0) if choice.world == 'lab' else 0
  return PipelineConfig(
    world=choice.world,
    size=choice.size,
    pretrain=pretrain.build(choice),
    distill=distill.build(choice),
    pmp=pmp.build(choice),
    pm=with_span(mixture),
    pm_one_side=dataclasses.replace(mixture, num_comparisons=most, lm_coef=0.0),
    rejection=rejection.build(choice),
    rlhf=rlhf.build(choice),
    evaluate=evaluate.build(choice),
  )


def with_span(config: PMConfig) -> PMConfig:
  data = dataclasses.replace(config.data, span_end=TRAIN_SPAN)
  return dataclasses.replace(config, data=data)


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
