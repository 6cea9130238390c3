"""A plan in words: a table of memory, one of time, exchanges, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hh_jax.config import ModelConfig
from hh_jax.planning.ledger import Mesh
from hh_jax.planning.search import Proposal
from hh_jax.planning.topology import Topology

GIB = 2.0**30
MIB = 2.0**20
SHOWN = 6  # proposals


def heading(topology: Topology, mesh: Mesh, model: ModelConfig) -> str:
  """What is compiled for what."""
  return (
    f'{topology.num_chips} x {topology.chip.name} ({topology.name}), mesh '
    f'{told_mesh(mesh.shape)}, compiled by {topology.compiler}\n'
    f'L={model.num_layers} d={model.model_dim} vocabulary {model.vocab_size}, '
    f'products in {model.compute_dtype}, '
    f'{"blocks recomputed" if model.remat else "activations kept"}'
  )


def told_mesh(mesh: dict[str, int]) -> str:
  """A mesh as `name=size` words."""
  return ' '.join(f'{name}={size}' for name, size in mesh.items())


def step(row: dict[str, Any]) -> str:
  """One step, in a few lines."""
  return '\n'.join(_step_lines(row))


def _step_lines(row: dict[str, Any]) -> Iterator[str]:
  size = f'{row["rows"]} rows x {row["context"]} tokens' if row['rows'] else ''
  yield f'{row["step"]}: {size}'.rstrip(': ')
  yield (
    f'  parameters {row["parameters"]:,}; memory a chip '
    f'{row["memory_total"] / GIB:.2f} of {row["memory_chip"] / GIB:.0f} GiB'
  )
  if not row['fits']:
    over = _told_bytes(row['memory_total'] - row['memory_chip'])
    yield f'  DOES NOT FIT, by {over}; {row["helps"]}'
  parts = [f'{kind} {_told_bytes(b)}' for kind, b in row['memory'].items()]
  yield f'    {", ".join(parts)}'
  if 'seconds' in row:
    yield from _time_lines(row)
  for line in row['warnings']:
    yield f'  warning: {line}'


def _time_lines(row: dict[str, Any]) -> Iterator[str]:
  for kind, total in row['collectives'].items():
    yield (
      f'  {kind}: {total["number"]:.0f} a step, '
      f'{_told_bytes(total["bytes"])} received by a chip'
    )
  parts = [f'{name} {s:.3g} s' for name, s in row['parts'].items() if s]
  yield (
    f'  {row["seconds"]:.3g} s, bound by {row["bound"]} ({", ".join(parts)})'
  )
  if row['tokens']:
    yield (
      f'  {row["flops_per_token"] / 1e9:.3g} GFLOP a token needed, '
      f'{_told_share(row["useful_flops"])}MFU {row["mfu"]:.1%}; '
      f'{row["tokens_per_second"]:,.0f} tokens/s; '
      f'at most about {row["largest_rows"]} rows fit'
    )


def cost(plan: dict[str, Any], price: float) -> str:
  """Chip-hours of the whole stage, and what they cost; or why not."""
  hours = plan['chip_hours']
  if hours is None:
    return f'stage: chip-hours not known: {"; ".join(plan["unpriced"])}'
  line = f'stage: {hours:,.1f} chip-hours'
  return f'{line}, {hours * price:,.0f} at {price:g} each' if price else line


def assumptions(plan: dict[str, Any]) -> str:
  """What the estimate takes for granted, and what it cannot know."""
  lines = [f'assumed: {line}' for line in plan['assumptions']]
  lines += [f'not known: {line}' for line in plan['unknown']]
  return '\n'.join(lines)


def proposals(found: Sequence[Proposal]) -> str:
  """The first meshes of a search, by the account on paper."""
  lines = [f'{len(found)} meshes, the best by the account on paper:']
  for one in found[:SHOWN]:
    lines.append(
      f'  {told_mesh(one.mesh.shape)}: {one.memory / GIB:.1f} GiB a chip'
      f'{"" if one.fits else " (does not fit)"}, {one.seconds:.3g} s, '
      f'MFU {one.mfu:.1%}'
    )
  return '\n'.join(lines)


def _told_share(share: float | None) -> str:
  return '' if share is None else f'{share:.0%} of those executed; '


def _told_bytes(count: float) -> str:
  if count >= GIB / 10:
    return f'{count / GIB:.2f} GiB'
  return f'{count / MIB:.2f} MiB'
