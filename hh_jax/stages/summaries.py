"""Comparisons of summaries in files: left out, alone or mixed in (§5.2)."""

from __future__ import annotations

import dataclasses

from hh_jax.config import DataConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data.comparisons import ComparisonSet
from hh_jax.lab import summaries as lab_summaries


def read(data: DataConfig) -> ComparisonSet:
  """Returns the comparisons of the files that the config asks for."""
  found = comparisons_lib.read_comparisons(data.data_dir)
  if data.summaries == 'mixed':
    wanted = found.comparisons
  else:
    is_wanted = data.summaries == 'alone'
    wanted = tuple(
      item
      for item in found.comparisons
      if (item.tranche == lab_summaries.TRANCHE) == is_wanted
    )
  if data.summaries != 'none' and all(
    item.tranche != lab_summaries.TRANCHE for item in wanted
  ):
    raise ValueError(
      f'data.summaries={data.summaries} and {data.data_dir} has no file '
      f'{lab_summaries.TRANCHE}.jsonl of comparisons'
    )
  if len(wanted) == found.num_kept:
    return found
  num_left = found.num_kept - len(wanted)
  return dataclasses.replace(
    found,
    comparisons=wanted,
    rejected={**found.rejected, 'of_other_kind': num_left},
  )
