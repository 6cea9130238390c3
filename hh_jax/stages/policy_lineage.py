"""Preference models and policies of one size and seed of a figure.

1. Train- and test-PM: from the same start, on independent halves of the
   comparisons, split by first human turn.
2. Policies by PPO from π0 against any preference model, of any size.
3. Several replies a prompt from any policy, scored by any preference model.

Reference: Bai et al. 2022, sections 2.3, 4.1 and 4.2.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from hh_jax.config import DataConfig, PolicyConfig
from hh_jax.stages import rejection, rlhf
from hh_jax.stages.lineage import Lineage

TRAIN, TEST = 'train', 'test'  # halves of the comparisons
SPANS = {TRAIN: (0.0, 0.5), TEST: (0.5, 1.0)}


@dataclasses.dataclass(frozen=True)
class PolicyLineage(Lineage):
  """What one size and seed is trained into, policies among it."""

  config: PolicyConfig

  def half_pm(self, half: str, **changes: Any) -> pathlib.Path:
    """Folder of the preference model of one half of the comparisons."""
    return self.pm(data=half_of(self.config.pm.data, half), **changes)

  def policy(
    self, pm: pathlib.Path, has_course: bool = True, **changes: Any
  ) -> pathlib.Path:
    """Folder of a policy trained by PPO against a preference model.

    Args:
      pm: Of this seed and of any size.
      has_course: Whether points are measured along the run, each of which
        costs several iterations, or at both ends alone.
      **changes: Fields of its config.
    """
    if not has_course:
      ends = {'eval_every': self.config.rlhf.num_iterations, 'eval_first': 0}
      changes = {**ends, **changes}
    config = dataclasses.replace(
      self.config.rlhf,
      policy_from=str(self.distilled()),
      pm_from=str(pm),
      **changes,
    )
    return self._trained('rlhf', config, rlhf.run)

  def candidates(
    self, policy: pathlib.Path, pm: pathlib.Path, **changes: Any
  ) -> pathlib.Path:
    """Folder of several replies a held-out prompt, with their scores.

    Args:
      policy: That is sampled.
      pm: That scores.
      **changes: Fields of the rejection stage's config.
    """
    config = dataclasses.replace(
      self.config.rejection,
      policy_from=str(policy),
      pm_from=str(pm),
      **changes,
    )
    return self._trained('rejection', config, rejection.run)


def half_of(data: DataConfig, half: str) -> DataConfig:
  """The data of train- or test-PMs."""
  start, end = SPANS[half]
  return dataclasses.replace(data, span_start=start, span_end=end)


def largest(config: PolicyConfig, workdir: pathlib.Path) -> list[PolicyLineage]:
  """The largest size with every seed."""
  return of_size(config, config.sizes[-1], workdir)


def of_size(
  config: PolicyConfig, size: str, workdir: pathlib.Path
) -> list[PolicyLineage]:
  """One size with every seed."""
  return [PolicyLineage(config, size, seed, workdir) for seed in config.seeds]
