"""What every job of our side begins with."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from hh_jax.data.tokenizer import Tokenizer
from hh_jax.models import ladder, public_weights
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params

WARM_UP = 3  # rounds of sampling, whose lengths decide what is compiled


def network(
  inputs: pathlib.Path, name: str, job: dict[str, Any]
) -> tuple[Transformer, Params]:
  """Opens the `policy` or the `pm` at the job's precision."""
  config, params = public_weights.read(inputs / job['family'] / name)
  # Products with a cache run in float32 on a CPU anyway: keep it so.
  config = dataclasses.replace(
    config, compute_dtype=job['dtype'], cache_dtype='float32'
  )
  return ladder.build(config), jax.tree.map(jnp.asarray, params)


def settings(job: dict[str, Any]) -> str:
  return f'{job["dtype"]} operands; float32 sums, parameters and caches'


def special_tokens() -> Tokenizer:
  """A tokenizer of bytes; stages ask it for the ids of special tokens only."""
  return Tokenizer.train([], 259)
