"""Pytree containers, and the glossary of dimensions.

Axis letters, used in shape comments and annotations only:
  B rows of a batch, T tokens of a row, P items (comparisons, prompts),
  C candidates of an item, E rollout examples, G response tokens,
  S cache slots, L layers, K heads, H width of a head, D model width,
  F width of the MLP, V vocabulary; while sampling, N prompts, k samples each.
"""

from __future__ import annotations

import typing
from typing import Any

import flax.struct
import jax
import numpy as np

Metrics = dict[str, jax.Array]
Params = dict[str, Any]

# Batches are made on the host and read on the device; to a type checker both
# are device arrays, because every reader is.
AnyArray = jax.Array
if not typing.TYPE_CHECKING:
  AnyArray = jax.Array | np.ndarray


# A pad's interval: it sees only pads, and nothing else sees it.
PAD_LEAVE = 2**31 - 1
PAD_ENTER = PAD_LEAVE - 1


class Packed(flax.struct.PyTreeNode):
  """A batch of token trees laid out in rows (design: packed trees).

  Token q attends to token k iff `k <= q` in the row and
  `enter[k] <= enter[q] < leave[k]`. The log-probability of token t reads the
  logits at `parent[t]`. Padding has `PAD_ENTER` and `PAD_LEAVE`.
  """

  tokens: AnyArray  # [B, T] int32
  positions: AnyArray  # [B, T] int32, depth in the token's own path
  parent: AnyArray  # [B, T] int32, column of the token before it, -1 at roots
  enter: AnyArray  # [B, T] int32, pre-order interval of the token's segment
  leave: AnyArray  # [B, T] int32, exclusive end of that interval
  example_id: AnyArray  # [B, T] int32, global id, -1 on padding
  loss_mask: AnyArray  # [B, T] bool, the token is a training target
  score_index: AnyArray  # [P, C] int32, row * T + column, -1 where absent
  pair_weight: AnyArray  # [P] float32, loss weight of the item
  pair_mask: AnyArray  # [P] bool, the item is real


class LMOutput(flax.struct.PyTreeNode):
  """What a forward pass returns; logits are made by whoever reads them."""

  hidden: jax.Array  # [B, T, D] float32, after the final norm
  cache: KVCache | None = None
  stream: tuple[jax.Array, ...] | None = None  # L times [B, T, D], if kept


class SharedPrompts(flax.struct.PyTreeNode):
  """Keys and values of prompts that k rows of a cache continue each.

  `rows` and `member` are the same relation, read from either side: row b is
  sample `member[b] % k` of prompt `member[b] // k`.
  """

  keys: tuple[jax.Array, ...]  # L times [N, K, P, H]
  values: tuple[jax.Array, ...]  # L times [N, K, P, H]
  length: jax.Array  # [N] int32, tokens of each prompt
  rows: jax.Array  # [N, k] int32, row of each sample, B where there is none
  member: jax.Array  # [B] int32

  @property
  def capacity(self) -> int:
    """Tokens that a prompt can have (P)."""
    return self.keys[0].shape[2]


class KVCache(flax.struct.PyTreeNode):
  """Keys and values, written in place while decoding.

  Each layer has arrays of its own: out of one array of all layers XLA would
  copy a layer before every product with it.
  """

  keys: tuple[jax.Array, ...]  # L times [B, K, S, H]
  values: tuple[jax.Array, ...]  # L times [B, K, S, H]
  length: jax.Array  # [B] int32, slots in use
  shared: SharedPrompts | None = None  # what the rows continue

  @property
  def capacity(self) -> int:
    """Tokens that a row can hold (S)."""
    return self.keys[0].shape[2]

  @property
  def depth(self) -> jax.Array:
    """Tokens before the next one of each row, [B] int32."""
    if self.shared is None:
      return self.length
    num_samples = self.shared.rows.shape[1]
    return self.length + self.shared.length[self.shared.member // num_samples]


class DecodeState(flax.struct.PyTreeNode):
  """A resumable batch of sequences being sampled.

  A row is done when it sampled end-of-text, which stays in the reply, when its
  last tokens opened the next turn, in which case that marker is taken out
  again, or when all G tokens are drawn. Only the first sets `has_eot`.
  `cache.depth - num_sampled` is the length of the prompt while a row runs.
  """

  cache: KVCache
  last_hidden: jax.Array  # [B, D] float32, predicts the next token
  tokens: jax.Array  # [B, G] int32, sampled so far, pad elsewhere
  log_probs: jax.Array  # [B, G] float32, of the sampled tokens, 0 elsewhere
  uniforms: jax.Array  # [B, G] float32, one draw a token
  num_sampled: jax.Array  # [B] int32, tokens of the reply so far
  is_done: jax.Array  # [B] bool
  has_eot: jax.Array  # [B] bool, ended by a sampled end-of-text


class Rollout(flax.struct.PyTreeNode):
  """Sampled replies and what the networks say of them, one row a prompt."""

  mask: jax.Array  # [E, G] bool, True on sampled tokens incl. end-of-text
  log_probs: jax.Array  # [E, G] float32, behaviour policy
  ref_log_probs: jax.Array  # [E, G] float32, reference policy
  values: jax.Array  # [E, G] float32, before the token is sampled
  scores: jax.Array  # [E] float32, preference model
  has_eot: jax.Array  # [E] bool


class RunState(flax.struct.PyTreeNode):
  """Everything that changes in a run, and nothing else."""

  step: jax.Array  # [] int32, optimizer or PPO iterations done
  params: Params  # what trains
  opt_state: Any
  stats: Metrics  # running statistics and controllers, may be empty


class LossSum(flax.struct.PyTreeNode):
  """Numerator and denominator of a loss; only the step divides.

  `metrics` maps a name to `[2]` float32: a sum and its weight.
  """

  total: jax.Array  # [] float32
  weight: jax.Array  # [] float32
  metrics: Metrics
