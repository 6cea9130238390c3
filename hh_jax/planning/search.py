"""Proposes meshes: every division of the chips, in the order of time.

A mesh must divide the batch, the width, the heads and the vocabulary; those
that fit come first, then the fastest by the account on paper (`ledger`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hh_jax.planning import ledger, roofline

# Of a chip's memory: the account on paper does not know every temporary.
USABLE = 0.8


@dataclasses.dataclass(frozen=True)
class Proposal:
  """A mesh, and what a step takes on it by the account on paper."""

  mesh: ledger.Mesh
  memory: float  # bytes a chip
  seconds: float
  mfu: float
  fits: bool


def meshes(num_chips: int, load: ledger.Load) -> Iterator[ledger.Mesh]:
  """The meshes of some chips that divide a batch and a network."""
  model = load.model
  for tensor in _divisors(num_chips):
    widths = (model.num_heads, model.kv_heads, model.padded_vocab)
    if any(width % tensor for width in (*widths, model.width_of_ffn)):
      continue
    for fsdp in _divisors(num_chips // tensor):
      mesh = ledger.Mesh(num_chips // tensor // fsdp, fsdp, tensor)
      if load.rows % mesh.rows == 0 and model.model_dim % fsdp == 0:
        yield mesh


def proposals(
  num_chips: int, load: ledger.Load, rates: roofline.Rates
) -> list[Proposal]:
  """All meshes, the best first; none where no mesh divides the batch."""
  found = [_judge(mesh, load, rates) for mesh in meshes(num_chips, load)]
  return sorted(
    found, key=lambda p: (not p.fits, p.seconds if p.fits else p.memory)
  )


def _judge(
  mesh: ledger.Mesh, load: ledger.Load, rates: roofline.Rates
) -> Proposal:
  seconds = ledger.work(load, mesh, rates).seconds
  needs = ledger.memory(load, mesh)
  return Proposal(
    mesh=mesh,
    memory=needs,
    seconds=seconds,
    mfu=roofline.mfu(load.needed, seconds, mesh.size, rates.chip),
    fits=needs <= USABLE * rates.chip.memory,
  )


def _divisors(number: int) -> list[int]:
  return [n for n in range(1, number + 1) if number % n == 0]
