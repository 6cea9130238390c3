"""Compiles a step and reads off what a chip holds, exchanges and takes.

1. Memory is the compiler's own account of the whole program, and includes what
   the stage keeps beside it (a policy's moments while it samples).
2. Collectives and operations are read from the program's text, loops counted
   as often as they run.
3. The largest batch that fits is reckoned: what grows with the rows of a chip
   (a batch, a cache, what is made of them) is taken to grow in proportion.
"""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import jax

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.planning import abstract, collectives, hlo, roofline
from hh_jax.planning.ledger import Mesh
from hh_jax.planning.steps import StageStep
from hh_jax.planning.topology import Topology

GIB = 2.0**30

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is compiled for."""

  topology: Topology
  mesh: Mesh
  model: ModelConfig

  @property
  def rates(self) -> roofline.Rates:
    return roofline.Rates(
      self.topology.chip, self.topology.shape, self.model.compute_dtype
    )


def measure(step: StageStep, setting: Setting) -> Row:
  """One row of a plan; call under `set_mesh` of the chips' mesh."""
  started = time.monotonic()
  held = {kind: abstract.bytes_a_chip(tree) for kind, tree in step.held.items()}
  has = setting.topology.chip.memory
  row: Row = {
    'step': step.name,
    'rows': step.rows,
    'context': step.context,
    'tokens': step.tokens,
    'runs': step.runs,
    'is_training': step.is_training,
    'parameters': abstract.num_parameters(step.held['weights']),
    'memory_chip': has,
    'flops_per_token': step.flops / step.tokens if step.tokens else 0.0,
  }
  try:
    compiled = step.lower().compile()
  except jax.errors.JaxRuntimeError as error:
    needs = _needed_memory(str(error))
    if needs is None:
      raise
    row |= {'memory_total': needs, 'memory': held, **_fit(step, needs, has)}
    return row | {'warnings': warnings(step, setting, [])}
  row['compile_seconds'] = round(time.monotonic() - started, 1)
  row |= _memory(compiled, held, step, setting)
  program = hlo.parse(compiled.as_text() or '', step.trips)
  found = collectives.find(program, setting.mesh.shape)
  row['collectives'] = collectives.totals(found)
  row |= _time(roofline.work_of(program, found, setting.rates), step, setting)
  row['warnings'] = warnings(step, setting, found)
  return row


def _needed_memory(message: str) -> float | None:
  """Bytes that the compiler says a program would use; None: another error."""
  found = re.search(r'Used ([\d.]+)([KMGT]?) of ', message)
  if found is None or 'RESOURCE_EXHAUSTED' not in message:
    return None
  power = ' KMGT'.index(found[2] or ' ')
  return float(found[1]) * 1024.0**power


def _memory(
  compiled: jax.stages.Compiled,
  held: dict[str, int],
  step: StageStep,
  setting: Setting,
) -> Row:
  stats: Any = compiled.memory_analysis()
  arguments = stats.argument_size_in_bytes
  new = stats.output_size_in_bytes - stats.alias_size_in_bytes
  temporaries = stats.temp_size_in_bytes + stats.generated_code_size_in_bytes
  activations = min(_activations(step, setting), stats.temp_size_in_bytes)
  # What the stage holds although this program does not take it.
  fixed = max(sum(held.values()), arguments)
  total = fixed + new + temporaries
  growing = new + temporaries + sum(held.get(k, 0) for k in step.growing)
  return {
    'memory': {
      **held,
      'activations': activations,
      'temporaries': temporaries - activations + new,
    },
    'memory_total': total,
    **_fit(step, total, setting.topology.chip.memory),
    'largest_rows': _largest_rows(step, setting, total - growing, growing),
  }


def _fit(step: StageStep, needs: float, has: float) -> Row:
  """Whether a step fits; what helps if not, and why it has no price then."""
  if needs <= has:
    return {'fits': True, 'helps': '', 'unpriced': step.unpriced}
  more_chips = 'take more chips along fsdp and tensor'
  return {
    'fits': False,
    'helps': f'{step.smaller} or {more_chips}' if step.smaller else more_chips,
    'unpriced': f'{step.name} does not fit',
  }


def _activations(step: StageStep, setting: Setting) -> int:
  """Bytes of the stream between layers that a backward pass reads again."""
  if not step.is_training:
    return 0
  tokens = step.rows * step.context // setting.mesh.rows
  return 4 * tokens * setting.model.model_dim * setting.model.num_layers


def _largest_rows(
  step: StageStep, setting: Setting, fixed: float, growing: float
) -> int:
  ways = setting.mesh.rows
  if not step.rows or growing <= 0:
    return 0
  room = setting.topology.chip.memory - fixed
  return max(0, int(room / growing * step.rows / ways)) * ways


def _time(work: roofline.Work, step: StageStep, setting: Setting) -> Row:
  seconds = work.seconds
  chips = setting.topology.num_chips
  return {
    'seconds': seconds,
    'bound': work.bound,
    'parts': {
      'arithmetic': work.arithmetic,
      'memory': work.memory,
      'exposed network': work.exposed,
      'hidden network': work.hidden,
    },
    'flops_executed': work.flops,
    # A product with one row is no matrix product, and not counted above.
    'useful_flops': step.flops / chips / work.flops
    if work.flops and step.is_training
    else None,
    'mfu': roofline.mfu(step.flops, seconds, chips, setting.topology.chip),
    'tokens_per_second': step.tokens / seconds if seconds else 0.0,
    'chip_hours': None
    if step.runs is None
    else step.runs * seconds * chips / 3600,
  }


def warnings(
  step: StageStep, setting: Setting, found: list[collectives.Collective]
) -> list[str]:
  """What a person should look at before renting the chips."""
  mesh, model = setting.mesh, setting.model
  lines = []
  if step.rows % mesh.rows:
    lines.append(
      f'{step.rows} rows are not divided by data * fsdp = {mesh.rows}: every '
      'chip computes all of them'
    )
  weights = step.held['weights']
  lines += sharding.replicated_axes(weights, _abstract_mesh(mesh))
  if mesh.parts > 1:
    lines += [
      f'{path} is whole on every chip' for path in abstract.unsplit(weights)
    ]
  vocabularies = {model.padded_vocab, model.padded_vocab // mesh.tensor}
  widths = {model.model_dim, model.model_dim // mesh.fsdp}
  if found and vocabularies & widths:
    lines.append(
      'logits that are sent around cannot be told from activations: both have '
      f'{min(vocabularies & widths)} columns'
    )
  for one in found:
    for shape in one.shapes:
      if is_of_logits(shape, vocabularies, widths):
        lines.append(f'{one.kind} of logits, {_told(one, shape)}')
      elif step.is_training and is_of_optimizer(one, shape, weights):
        lines.append(f'all-gather of optimizer state, {_told(one, shape)}')
  return list(dict.fromkeys(lines))


def is_of_logits(
  shape: hlo.Shape, vocabularies: set[int], widths: set[int]
) -> bool:
  """Whether an array has a vocabulary for each of several positions.

  An array that is as wide as the network, too, is its output matrix.
  """
  dims = [n for n in shape.dims if n > 1]
  return (
    len(dims) > 1
    and bool(vocabularies & set(dims))
    and not widths & set(dims)
    and shape.dtype in ('f32', 'bf16')
  )


def is_of_optimizer(
  one: collectives.Collective, shape: hlo.Shape, weights: Any
) -> bool:
  """Whether a whole parameter is gathered outside of differentiation.

  There it is no weight on its way to a layer, but a moment, an update or a
  gradient.
  """
  if one.kind != 'all-gather' or 'jvp(' in one.source:
    return False
  dims = sorted(n for n in shape.dims if n > 1)
  matrices = [leaf.shape for leaf in jax.tree.leaves(weights) if leaf.ndim > 1]
  wholes = matrices + [dims[1:] for dims in matrices if len(dims) > 2]
  return dims in [sorted(n for n in whole if n > 1) for whole in wholes]


def _told(one: collectives.Collective, shape: hlo.Shape) -> str:
  dims = ', '.join(map(str, shape.dims))
  return (
    f'{shape.dtype}[{dims}], {one.times:.0f} times a step over '
    f'{" and ".join(one.axes)}'
  )


def _abstract_mesh(mesh: Mesh) -> jax.sharding.AbstractMesh:
  return jax.sharding.AbstractMesh(
    tuple(mesh.shape.values()), sharding.MESH_AXES
  )
