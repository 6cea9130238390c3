"""What every job of our side begins and ends with."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import clock
from hh_jax.data.tokenizer import EOT_ID, Tokenizer
from hh_jax.models import ladder, public_weights
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params

WARM_UP = 3  # rounds of sampling, whose lengths decide what is compiled


def network(
  inputs: pathlib.Path, name: str, job: dict[str, Any]
) -> tuple[Transformer, Params]:
  """Opens the `policy` or the `pm` at the job's precision."""
  config, params = public_weights.read(inputs / job['family'] / name)
  config = dataclasses.replace(
    config,
    compute_dtype=job['dtype'],
    cache_dtype=cache_dtype(job),
    remat=job.get('remat', False),
  )
  params = jax.tree.map(jnp.asarray, params)
  is_endless = name == 'policy' and job.get('prompt_length')
  return ladder.build(config), without_end(params) if is_endless else params


def cache_dtype(job: dict[str, Any]) -> str:
  """Products with a cache run in float32 on a CPU anyway: it is kept so."""
  return job.get('cache_dtype', 'float32')


def without_end(params: Params) -> Params:
  """Weights under which end-of-text is never the likeliest token.

  Nor is it sampled in practice: its probability falls from 1 in 50 to less
  than 1 in a million.
  """
  embedding = params['embed']['embedding'].at[EOT_ID].multiply(-1)
  return {**params, 'embed': {'embedding': embedding}}


def settings(job: dict[str, Any]) -> str:
  kept = f'; float32 sums and parameters, {cache_dtype(job)} caches'
  if cache_dtype(job) == 'float32':
    kept = '; float32 sums, parameters and caches'
  if job.get('remat', False):
    kept += ', blocks recomputed'
  return f'{job["dtype"]} operands{kept}'


def special_tokens() -> Tokenizer:
  """A tokenizer of bytes; stages ask it for the ids of special tokens only."""
  return Tokenizer.train([], 259)


def finish(out: pathlib.Path, **result: Any) -> None:
  """Writes what this process measured; memory is that of the device."""
  counts = jax.devices()[0].memory_stats() or {}  # a CPU has none
  peak = counts.get('peak_bytes_in_use')
  clock.finish(out, peak=peak and peak / 2**30, **result)
