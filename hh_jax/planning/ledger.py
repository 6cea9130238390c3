"""A training step on paper: memory, operations and exchanges of one chip.

Meshes are proposed by it before anything is compiled, a model that cannot fit
is refused by it at once, and published steps are predicted by it.

1. Weights, gradients and Adam's moments are float32, split over `fsdp` and
   `tensor`; frozen networks are weights alone.
2. A layer's weights are gathered in the operands' type for the forward and for
   the backward pass, its gradient is scattered in float32, and over `data` it
   is summed. Along `tensor` the stream is summed twice a layer and pass.
3. Elementwise work moves `ELEMENTWISE` bytes of every unit of width, token and
   layer; logits are written and read in float32; an update moves 28 bytes a
   parameter.
"""

from __future__ import annotations

import dataclasses

from hh_jax.config import ModelConfig
from hh_jax.planning import roofline
from hh_jax.planning.collectives import Collective
from hh_jax.planning.flops import BYTES, Counter
from hh_jax.planning.hlo import Shape

STATE = 12  # bytes a trained parameter: weights and two moments
GRADIENT = 4
UPDATE = 28  # bytes moved a parameter: those and the gradient, read and written
ELEMENTWISE = 300  # bytes a unit of width, forward and backward, half fused
LOGIT = 12  # bytes a logit: written, read, and its gradient
KEPT = 80  # bytes a unit of width of a layer that is not recomputed


@dataclasses.dataclass(frozen=True)
class Mesh:
  """Chips along every axis."""

  data: int
  fsdp: int
  tensor: int

  @property
  def rows(self) -> int:
    """Parts of a batch."""
    return self.data * self.fsdp

  @property
  def parts(self) -> int:
    """Parts of the weights."""
    return self.fsdp * self.tensor

  @property
  def size(self) -> int:
    return self.data * self.parts

  @property
  def shape(self) -> dict[str, int]:
    return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Load:
  """What a step trains, and on what."""

  model: ModelConfig
  rows: int
  row_length: int
  trained: int = 1  # networks
  frozen: int = 0  # networks that are only read elsewhere
  logits: int = -1  # positions whose logits are read; -1: all
  slots: int = 0  # replies sampled at once between updates

  @property
  def num_params(self) -> float:
    width = self.model.padded_vocab * self.model.model_dim
    tables = 1 if self.model.tied_embedding else 2
    return self.model.num_block_params + tables * width

  @property
  def tokens(self) -> int:
    return self.rows * self.row_length

  @property
  def positions(self) -> int:
    return self.tokens if self.logits < 0 else self.logits

  @property
  def needed(self) -> float:
    """Operations of a step, on all chips; attention counted causally."""
    count = Counter(self.model)
    body = self.rows * count.pass_over(0, self.row_length)
    return 3 * (self.trained * body + count.logits(self.positions))


def state_bytes(load: Load, mesh: Mesh) -> float:
  """Weights, moments and frozen networks that a chip holds."""
  each = load.trained * STATE + load.frozen * 4
  return each * load.num_params / mesh.parts


def memory(load: Load, mesh: Mesh) -> float:
  """Bytes a chip needs at the peak of a step, or of sampling between two."""
  return max(_training(load, mesh), _sampling(load, mesh))


def _sampling(load: Load, mesh: Mesh) -> float:
  """Beside the state: a copy to decode with, split over `tensor`; a cache."""
  if not load.slots:
    return 0.0
  model = load.model
  copy = BYTES[model.compute_dtype] * load.num_params / mesh.tensor
  cache = 2 * model.num_layers * model.kv_heads * model.width_of_head
  cache *= BYTES[model.type_of_cache] * load.slots * load.row_length
  spread = mesh.rows if load.slots % mesh.rows == 0 else 1
  return state_bytes(load, mesh) + copy + cache / spread / mesh.tensor


def _training(load: Load, mesh: Mesh) -> float:
  model = load.model
  tokens = load.tokens / mesh.rows
  layer = KEPT * model.model_dim * tokens / mesh.tensor
  if model.remat:
    kept = 4 * model.model_dim * tokens * model.num_layers + layer
  else:
    kept = layer * model.num_layers
  gradients = GRADIENT * load.trained * load.num_params / mesh.parts
  head = 3 * 4 * model.padded_vocab * model.model_dim / mesh.tensor
  gathered = 2 * GRADIENT * model.num_block_params / model.num_layers
  return (
    state_bytes(load, mesh) + gradients + kept + head + gathered / mesh.tensor
  )


def work(load: Load, mesh: Mesh, rates: roofline.Rates) -> roofline.Work:
  """Operations and exchanges of one chip, summed as those of a program."""
  model, count = load.model, Counter(load.model)
  body = load.rows * count.pass_over(0, load.row_length)
  passes = 4 if model.remat else 3
  arithmetic = load.trained * passes * body
  arithmetic += 3 * count.logits(load.positions)
  elementwise = ELEMENTWISE * passes / 3 * model.model_dim * model.num_layers
  moved = load.trained * load.tokens * elementwise
  moved += LOGIT * model.vocab_size * load.positions
  update = UPDATE * load.trained * load.num_params / mesh.parts
  operations = [
    (arithmetic / mesh.size, 0.0, 1.0),
    (0.0, moved / mesh.size + update, 1.0),
  ]
  return roofline.sum_up(operations, exchanges(load, mesh), rates)


def exchanges(load: Load, mesh: Mesh) -> list[Collective]:
  """What the chips of a training step exchange."""
  model = load.model
  layer = model.num_block_params / model.num_layers
  times = load.trained * model.num_layers
  low = Shape(_dtype(model), (round(layer / mesh.tensor),))
  part = Shape('f32', (round(layer / mesh.parts),))
  found = []
  # Chips are numbered with `tensor` fastest and `data` slowest.
  along_fsdp = range(0, mesh.parts, mesh.tensor)
  along_data = range(0, mesh.size, mesh.parts)
  along_tensor = range(mesh.tensor)
  if mesh.fsdp > 1:
    found += [
      Collective('all-gather', (low,), along_fsdp, ('fsdp',), 2 * times, 1, ''),
      Collective(
        'reduce-scatter', (part,), along_fsdp, ('fsdp',), times, 1, ''
      ),
    ]
  if mesh.data > 1:
    found.append(
      Collective('all-reduce', (part,), along_data, ('data',), times, 1, '')
    )
  if mesh.tensor > 1:
    tokens = load.tokens // mesh.rows
    stream = Shape('f32', (tokens, model.model_dim))
    each = 2 * (3 if model.remat else 2) * times
    found.append(
      Collective(
        'all-reduce', (stream,), along_tensor, ('tensor',), each, 1, ''
      )
    )
  return found


def _dtype(model: ModelConfig) -> str:
  return {2: 'bf16', 4: 'f32'}[BYTES[model.compute_dtype]]
