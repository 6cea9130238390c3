"""Models of online training: on comparisons in a folder, with snapshots.

Preference models start from preference-model pretraining and policies from π0,
each time anew.

Reference: Bai et al. 2022, section 4.5.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from hh_jax.config import DataConfig, OnlineConfig
from hh_jax.stages import inputs
from hh_jax.stages.inputs import Description
from hh_jax.stages.policy_lineage import PolicyLineage


def config_of(line: PolicyLineage) -> OnlineConfig:
  """The lineage's config."""
  if not isinstance(line.config, OnlineConfig):
    raise ValueError(f'{type(line.config).__name__} is none of online training')
  return line.config


def data_in(data: DataConfig, folder: pathlib.Path) -> DataConfig:
  """All comparisons in a folder, whichever world they are of."""
  return dataclasses.replace(
    data, world='hh', data_dir=str(folder), num_examples=0
  )


def pm_on(
  line: PolicyLineage, folder: pathlib.Path, **changes: Any
) -> pathlib.Path:
  """Folder of the preference model of the comparisons in a folder."""
  return line.pm(data=data_in(line.config.pm.data, folder), **changes)


def policy_on(
  line: PolicyLineage, pm: pathlib.Path, folder: pathlib.Path, **changes: Any
) -> pathlib.Path:
  """Folder of a policy against the preference model of such comparisons.

  Its prompts are those of the same comparisons. Deviation: the lab makes
  prompts as it makes those of comparisons, without end.
  """
  if line.config.world == 'hh':
    changes['data'] = data_in(line.config.rlhf.data, folder)
  return policy_of(line, pm, **changes)


def policy_of(
  line: PolicyLineage, pm: pathlib.Path, **changes: Any
) -> pathlib.Path:
  """Folder of a policy whose snapshots are all kept."""
  config = config_of(line)
  loop = dataclasses.replace(config.rlhf.loop, keep_steps=config.snapshot_steps)
  return line.policy(pm, loop=loop, **changes)


def describe_all(
  line: PolicyLineage, pms: list[pathlib.Path], policies: list[pathlib.Path]
) -> Description:
  """What π0 says about itself, once all others fit it.

  Raises:
    ValueError: A run is of another stage or has another tokenizer.
  """
  pi0 = inputs.describe_as(str(line.distilled()), 'pi0', ('distill',))
  for spelled, stage, runs in (('pm', 'pm', pms), ('policy', 'rlhf', policies)):
    for run in runs:
      found = inputs.describe_as(str(run), spelled, (stage,))
      inputs.require_same_tokenizer(pi0, found)
  return pi0
