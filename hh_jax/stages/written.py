"""Replies by writers of known strength, in the lab.

Elsewhere nobody's are released: the paper's writers wrote for the paper alone.

Reference: Bai et al. 2022, figure 1 and section 6.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from hh_jax.config import DataConfig
from hh_jax.data.prompts import Prompt
from hh_jax.lab import writers
from hh_jax.stages import worlds


def require(data: DataConfig) -> None:
  """Raises ValueError where there are no writers."""
  if not worlds.has_gold(data):
    raise ValueError(
      f'world={data.world} has no replies by known writers: none are released; '
      'use world=lab'
    )


def name_of(lapse_rate: float) -> str:
  """What a writer is called."""
  return f'writers, {lapse_rate:.0%} lapses'


def replies(
  data: DataConfig, seed: int, prompts: Sequence[Prompt], lapse_rate: float
) -> list[str]:
  """Returns the replies of a writer, one a prompt."""
  require(data)
  return [
    writers.write(seed, index, prompt.dialogue, prompt.side, lapse_rate)
    for index, prompt in enumerate(prompts)
  ]
