"""The policies that the figures share, on top of `models`.

One config of RLHF serves all of these figures, so that a policy that several
of them need is trained once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from configs import presets, rejection, rlhf
from configs.figures import models
from hh_jax.config import (
  BestOfConfig,
  DataConfig,
  EloConfig,
  OnlineConfig,
  RejectionConfig,
  RLHFConfig,
  RobustnessConfig,
  TensionConfig,
  WritersConfig,
)

MAX_NEW_TOKENS = 32  # [§4.2]
NUM_SAMPLES = 250_000  # of a run [§4.2]
WARMUP = 0.1  # of a run's updates: 25,000 of 250,000 samples [§B.1]
NUM_POINTS = 40  # of scores against √KL along a run
KS = (1, 4, 16, 64)
NUM_DISPLAY_SAMPLES = 17  # the median is taken [§6.1]
NUM_SNAPSHOTS = 4  # of a policy in online training
HALVING = 100_000  # samples after which its rate is halved [§B.1]


def stages(
  choice: presets.Choice, is_largest_alone: bool = False
) -> dict[str, Any]:
  """Returns the fields that the config of every such figure has."""
  shared = models.stages(choice)
  sizes = sizes_of(choice)
  held_out = shared['pm'].data
  return shared | {
    'sizes': sizes[-1:] if is_largest_alone else sizes,
    'teacher': shared['sizes'][-1],
    'rlhf': policy(choice, held_out),
    'rejection': candidates(choice, held_out),
  }


def sizes_of(choice: presets.Choice) -> tuple[str, ...]:
  """Returns the rungs of a ladder; of the whole nano ladder three."""
  ladder = models.ladder_up_to(choice.size)
  return ladder[:3] if choice.size == 'nano' else ladder


def policy(choice: presets.Choice, held_out: DataConfig) -> RLHFConfig:
  """Returns RLHF as in the robustness study: K = 2, 32 tokens [§4.2].

  Args:
    choice: World, size and scale.
    held_out: Of the preference models, whose test part policies share.
  """
  base = rlhf.build(choice)
  passes = choice.pick(2, 2, 1)
  num_iterations = choice.pick(num_full_iterations(choice), 24, 2)
  updates = num_iterations * passes * base.minibatches
  batch_size = choice.pick(64, 64, 8) if choice.is_nano else 128
  return dataclasses.replace(
    base,
    data=split_as(
      dataclasses.replace(base.data, batch_size=batch_size), held_out
    ),
    sampling=dataclasses.replace(
      base.sampling, max_new_tokens=choice.pick(MAX_NEW_TOKENS, 32, 16)
    ),
    # The rate stays: a run is to go on until it over-optimises.
    optimizer=presets.optimizer(
      choice, 0.01, 0.06, 'constant', round(WARMUP * updates)
    ),
    # The first thing that a preference model of few comparisons gets wrong is
    # a reply without an end, and beyond it no score means anything [open].
    missing_eot_score='fixed' if choice.is_nano else base.missing_eot_score,
    loop=dataclasses.replace(
      base.loop, checkpoint_every=choice.pick(25, 25, 2)
    ),
    passes=passes,
    num_iterations=num_iterations,
    show_every=max(1, num_iterations // 4),
    **points(choice, num_iterations),
  )


def points(choice: presets.Choice, num_iterations: int) -> dict[str, Any]:
  """Returns when scores are measured against √KL, `NUM_POINTS` times evenly.

  Nano rungs have few iterations, and a point costs as much as several of them:
  fewer points, most of them at the start, where the straight line is.
  """
  if not choice.is_nano:
    num = choice.pick(NUM_POINTS, 6, 2)
    return {'eval_every': max(1, num_iterations // num)}
  return {
    'eval_every': max(1, num_iterations // choice.pick(NUM_POINTS // 3, 6, 2)),
    'eval_first': round(0.2 * num_iterations),
  }


def num_full_iterations(choice: presets.Choice) -> int:
  return 80 if choice.is_nano else NUM_SAMPLES // 128


def candidates(choice: presets.Choice, held_out: DataConfig) -> RejectionConfig:
  """Returns replies to held-out prompts, as many as the largest n."""
  base = rejection.build(choice, k=choice.pick(KS[-1], KS[-1], 4))
  return dataclasses.replace(
    base,
    data=split_as(base.data, held_out),
    sampling=dataclasses.replace(
      base.sampling, max_new_tokens=choice.pick(MAX_NEW_TOKENS, 32, 16)
    ),
  )


def split_as(data: DataConfig, held_out: DataConfig) -> DataConfig:
  """Returns the data with the test part of another."""
  return dataclasses.replace(
    data,
    test_fraction=held_out.test_fraction,
    split_offset=held_out.split_offset,
  )


def robustness(choice: presets.Choice) -> RobustnessConfig:
  """Returns the config that figures 4, 13 and 33 share."""
  return RobustnessConfig(**stages(choice))


def best_of(choice: presets.Choice) -> BestOfConfig:
  """Returns the config of figure 36."""
  fields = stages(choice, is_largest_alone=True)
  ks = (1, 4) if choice.scale == 'smoke' else KS
  own = dataclasses.replace(fields.pop('rejection'), k=sum(ks))
  return BestOfConfig(**fields, rejection=own, ks=ks)


def tension(choice: presets.Choice) -> TensionConfig:
  """Returns the config of figure 14."""
  fields = stages(choice, is_largest_alone=True)
  fractions = (0.0, 0.5) if choice.scale == 'smoke' else (0.0, 0.5, 0.9, 1.0)
  return TensionConfig(**fields, fractions=fractions)


def writers(choice: presets.Choice) -> WritersConfig:
  """Returns the config of figure 24: 17 replies a prompt of two policies."""
  fields = stages(choice, is_largest_alone=True)
  own = dataclasses.replace(
    fields.pop('rejection'),
    k=NUM_DISPLAY_SAMPLES,
    num_prompts=choice.pick(256, 64, 4),
  )
  return WritersConfig(**fields, rejection=own)


def online(choice: presets.Choice) -> OnlineConfig:
  """Returns the config of online training and of figures 15, 16, 34 and 35.

  K = 4, replies of 128 tokens, a context of 2048 for the preference models
  [§B.3], and a rate that is halved every so many samples [§B.1].

  Deviation: nano rungs warm up and keep their rate, as in the robustness study;
  their runs end long before it would be halved.
  """
  fields = stages(choice, is_largest_alone=True)
  base, best = rlhf.build(choice), fields['rejection']
  own = dataclasses.replace(
    fields.pop('rlhf'),
    sampling=base.sampling,
    passes=choice.pick(4, 4, 1),
    eval_first=0,
    **online_length(choice),
  )
  if not choice.is_nano:
    own = dataclasses.replace(own, optimizer=base.optimizer, lr_halving=HALVING)
  judge = fields.pop('pm')
  if not choice.is_nano:
    data = dataclasses.replace(judge.data, row_length=2048)
    judge = dataclasses.replace(judge, data=data)
  return OnlineConfig(
    **fields
    | {
      'pm': judge,
      'rlhf': own,
      'rejection': dataclasses.replace(
        best, k=choice.pick(16, 4, 2), sampling=base.sampling
      ),
      'iteration': choice.pick(2, 2, 1),
      'snapshots': choice.pick(NUM_SNAPSHOTS, NUM_SNAPSHOTS, 2),
      'conversations': choice.pick(1000, 200, 12),
      'num_items': choice.pick(400, 200, 20),
    }
  )


def online_length(choice: presets.Choice) -> dict[str, int]:
  """Returns how long RLHF is, a multiple of the snapshots, each measured."""
  num = num_full_iterations(choice)
  num = choice.pick(num - num % NUM_SNAPSHOTS, 24, 2)
  every = num // choice.pick(NUM_SNAPSHOTS, NUM_SNAPSHOTS, 2)
  return {'num_iterations': num, 'eval_every': every}


def elo(choice: presets.Choice) -> EloConfig:
  """Returns the config of figure 1: one reply of each policy a prompt."""
  fields = stages(choice)
  own = dataclasses.replace(
    fields.pop('rejection'), k=1, num_prompts=choice.pick(512, 128, 4)
  )
  return EloConfig(**fields, rejection=own)
