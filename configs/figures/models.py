"""The models that the figures share: every size up to the one asked for.

`size=nano` is the nano ladder, `size=42m` the paper's ladder up to 42M. Totals
are scaled down, so that a figure takes minutes on the nano ladder.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from configs import distill, pm, pmp, presets, pretrain
from hh_jax.config import (
  DataConfig,
  HHHConfig,
  MixtureConfig,
  OODConfig,
  ScalingConfig,
)
from hh_jax.models import sizes

CURVE_POINTS = 8


def stages(choice: presets.Choice) -> dict[str, Any]:
  """Returns the fields that every figure's config has."""
  shared = {
    'world': choice.world,
    'sizes': ladder_up_to(choice.size),
    'pretrain': pretrain.build(choice),
    'distill': distill.build(choice),
    'pmp': pmp.build(choice),
    'pm': dataclasses.replace(
      pm.build(choice),
      curve_points=choice.pick(CURVE_POINTS, CURVE_POINTS, 2),
      eval_comparisons=choice.pick(1000, 1000, 20),
    ),
    'num_test': choice.pick(4000, 4000, 40),
  }
  if choice.world == 'lab' and choice.is_nano:
    shared |= smaller(choice, shared)
  return shared


def smaller(choice: presets.Choice, shared: dict[str, Any]) -> dict[str, Any]:
  """Returns the lab's stages at totals that suit many models."""
  num_steps = choice.pick(1200, 300, 4)
  documents = choice.pick(7000, 1800, 60)
  base = shared['pretrain']
  return {
    'pretrain': dataclasses.replace(
      base,
      num_steps=num_steps,
      data=dataclasses.replace(base.data, num_examples=documents),
    ),
    'pmp': dataclasses.replace(
      shared['pmp'], num_posts=choice.pick(6000, 1000, 20)
    ),
    'pm': dataclasses.replace(
      shared['pm'], data=comparisons(choice, shared['pm'].data)
    ),
  }


def comparisons(choice: presets.Choice, data: DataConfig) -> DataConfig:
  """Returns about 8,000 comparisons to train on and 2,000 to test on."""
  num = choice.pick(10_000, 2000, 120)
  return dataclasses.replace(data, num_examples=num, test_fraction=0.2)


def ladder_up_to(size: str) -> tuple[str, ...]:
  """Returns the rungs of a size's ladder, the size itself the last.

  `nano` is the whole nano ladder.
  """
  if size == 'nano':
    return tuple(sizes.NANO)
  ladder = sizes.NANO if size in sizes.NANO else sizes.LADDER
  names = list(ladder)
  if size not in names:
    sizes.model_config(size)  # names the nearest one
  return tuple(names[: names.index(size) + 1])


def scaling(choice: presets.Choice) -> ScalingConfig:
  """Returns the config that figures 7, 8, 25, 31 and 32 share."""
  return ScalingConfig(
    **stages(choice),
    counts=scaling_counts(choice),
    fewest=choice.pick(20, 20, 2),
  )


def mixtures(choice: presets.Choice) -> MixtureConfig:
  """Returns the config that figures 19, 26 and 27 share."""
  return MixtureConfig(
    **stages(choice),
    num_comparisons=total_of_mixtures(choice),
    fractions=fractions(choice),
  )


def outlier_detection(choice: presets.Choice) -> OODConfig:
  """Returns the config that figures 22, 23 and 39 share."""
  return OODConfig(**stages(choice), **outliers(choice))


def hhh(choice: presets.Choice) -> HHHConfig:
  """Returns the config that figures 5, 10 and 11 share."""
  return HHHConfig(**stages(choice), num_items=choice.pick(400, 200, 20))


def scaling_counts(choice: presets.Choice) -> tuple[int, ...]:
  """Returns numbers of comparisons, ascending, that either side has."""
  if choice.scale == 'smoke':
    return (8, 16)
  if choice.world == 'lab':
    return (250, 1000, 3500) if choice.scale == 'full' else (100, 700)
  return (250, 700, 1900) if choice.is_nano else (2500, 10_000, 38_000)


def total_of_mixtures(choice: presets.Choice) -> int:
  """Returns the total of every mixture; the paper's is 42,000 [§5.1.1]."""
  if choice.world == 'lab':
    return choice.pick(3500, 700, 16)
  return 1900 if choice.is_nano else 42_000


def fractions(choice: presets.Choice) -> tuple[float, ...]:
  """Returns eleven shares of harmless comparisons, fewer in tests."""
  if choice.scale == 'smoke':
    return (0.0, 0.5, 1.0)
  return tuple(n / 10 for n in range(11))


def outliers(choice: presets.Choice) -> dict[str, Any]:
  """Returns how many prompts are read to find harmful ones."""
  return {
    'num_usual': choice.pick(2000, 500, 40),
    'num_tested': choice.pick(1000, 200, 20),
    'exposures': (2, 4) if choice.scale == 'smoke' else (1, 3, 10, 30, 100),
  }


def transfer_counts(choice: presets.Choice) -> tuple[int, ...]:
  """Returns numbers of comparisons to finetune on, ascending."""
  if choice.scale == 'smoke':
    return (8, 16)
  if choice.world == 'lab':
    return (100, 500, 2000, 7000) if choice.scale == 'full' else (100, 1000)
  return (100, 500, 2000) if choice.is_nano else (500, 5000, 50_000)
