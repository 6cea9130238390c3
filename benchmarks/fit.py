"""Which batches fit into the memory of a device, by estimate.

1. Every kind of job has an order of preference: the whole batch, smaller ones,
   at last blocks computed twice. The first that fits is measured.
2. Training keeps `STATE` bytes a parameter and, for every token and layer, the
   activations that the backward pass reads.
3. An estimate can be wrong either way; a process that runs out of memory all
   the same becomes a row that says so.

Peers do the same batch in parts, so that it needs no recomputation.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from hh_jax.config import ModelConfig

Fields = dict[str, Any]

# Bytes a parameter while it is trained: float32 weights, gradients and two
# moments, as many again of the weights while they are replaced, and a copy in
# the operands' type.
STATE = 22
# Bytes of activations a token and layer, of ours by the compiler's account of
# 13M and 42M steps: of every unit of width, and of every head and key.
PER_WIDTH, PER_SCORE = 90, 8
PEER_PER_WIDTH = 40  # a guess: low-precision activations and no scores
LOGITS = 2.0**30  # bytes; ours makes a chunk of them at a time
PLACES_PER_PAIR = 300  # tokens of a packed comparison, padding counted
LONGEST = 512  # tokens of a row


def _halves(largest: int, smallest: int) -> list[int]:
  """From the largest down, each half of the one before."""
  found = [largest]
  while found[-1] // 2 >= smallest:
    found.append(found[-1] // 2)
  return found


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Bytes that processes of one network's jobs hold at their peak."""

  config: ModelConfig

  @property
  def num_params(self) -> float:
    config = self.config
    return config.num_block_params + config.padded_vocab * config.model_dim

  def activations(self, tokens: float, row: int, is_remat: bool) -> float:
    """Of one trained network that reads rows of `row` tokens."""
    config = self.config
    layer = PER_WIDTH * config.model_dim + PER_SCORE * config.num_heads * row
    if is_remat:  # the stream between layers, and one layer
      return tokens * (4 * config.model_dim * config.num_layers + layer)
    return tokens * layer * config.num_layers

  def training(self, tokens: float, row: int, is_remat: bool) -> float:
    kept = self.activations(tokens, row, is_remat)
    return STATE * self.num_params + kept + LOGITS

  def sampling(self, slots: int, length: int) -> float:
    """Beside the parameters; a cache is copied when its room changes."""
    config = self.config
    numbers = 2 * config.num_layers * config.kv_heads * config.width_of_head
    size = 4 if config.type_of_cache == 'float32' else 2
    cache = 2 * numbers * size * slots * length
    return 2 * self.num_params + cache + 16 * slots * config.padded_vocab

  def ppo(self, fields: Fields, is_shared: bool) -> float:
    """Four networks, or three; the larger of sampling and the update."""
    trained, frozen = (1 if is_shared else 2), 2
    kept = (12 * trained + 4 * frozen) * self.num_params
    tokens = fields['prompts'] // fields['minibatches'] * LONGEST
    acts = self.activations(tokens, LONGEST, fields.get('remat', False))
    update = trained * (10 * self.num_params + acts) + LOGITS
    slots: int = fields.get('slots') or fields['prompts']
    sampling = self.sampling(slots, LONGEST)
    return kept + max(update, sampling)

  def peer_training(self, tokens: float, logits: float) -> float:
    """Eager PyTorch: weights, gradients, moments; whole logits four times."""
    config = self.config
    width = PEER_PER_WIDTH * config.model_dim * config.num_layers
    scores = 14 * logits * config.padded_vocab
    return 18 * self.num_params + width * tokens + scores

  def peer_ppo(self, fields: Fields) -> float:
    """TRL keeps the scores of all sampled tokens, twice while it joins them."""
    config = self.config
    kept = 38 * self.num_params
    rollout, micro = fields['rollout'], fields['micro']
    scores = 4 * fields['prompts'] * fields['max_new'] * config.padded_vocab
    read = 6 * rollout * LONGEST * config.padded_vocab
    width = 2 * PEER_PER_WIDTH * config.model_dim * config.num_layers
    update = micro * LONGEST * (width + 14 * config.padded_vocab)
    joined = scores + 8 * rollout * fields['max_new'] * config.padded_vocab
    update += 6 * self.num_params
    return kept + max(2 * scores, joined, scores + read, update)


def need(kind: str, fields: Fields, variant: str, config: ModelConfig) -> float:
  """Bytes that our side of a job holds, by estimate."""
  estimate = Estimate(config)
  is_remat = fields.get('remat', False)
  if kind == 'lm':
    return estimate.training(fields['rows'] * LONGEST, LONGEST, is_remat)
  if kind == 'pm':
    tokens = fields['pairs'] * PLACES_PER_PAIR
    return estimate.training(tokens, LONGEST, is_remat)
  if kind == 'ppo':
    return estimate.ppo(fields, variant == 'shared')
  length = fields['prompt_length'] + fields['max_new']
  held = 4 * estimate.num_params
  return held + estimate.sampling(fields['slots'], length)


def peer_need(kind: str, fields: Fields, config: ModelConfig) -> float:
  """Bytes that a peer's side of a job holds, by estimate."""
  estimate = Estimate(config)
  if kind == 'lm':
    tokens = fields['micro'] * LONGEST
    return estimate.peer_training(tokens, tokens)
  if kind == 'pm':
    return estimate.peer_training(2 * fields['micro'] * LONGEST, 0)
  if kind == 'ppo':
    return estimate.peer_ppo(fields)
  return need(kind, fields, 'plain', config)


def choices(kind: str, fields: Fields) -> Iterator[Fields]:
  """What our side may run instead of a job's fields, best first."""
  if kind == 'ppo':
    prompts, fewest = fields['prompts'], fields['minibatches']
    parts = [n for n in (1, 2, 4, 8) if prompts % (n * fewest) == 0]
    for is_remat, part, slots in itertools.product(
      (False, True), parts, _halves(prompts, 64)
    ):
      number = {'minibatches': part * fewest, 'slots': slots}
      yield {**fields, **number, 'remat': is_remat}
    return
  if kind not in ('lm', 'pm'):
    yield fields
    return
  name = 'rows' if kind == 'lm' else 'pairs'
  for is_remat in (False, True):
    for count in _halves(fields[name], 8):
      yield {**fields, name: count, 'remat': is_remat}


def peer_choices(kind: str, fields: Fields) -> Iterator[Fields]:
  """How a peer may do what our side does, best first.

  TRL may sample fewer replies in an iteration, because it keeps scores of
  every token of them; rates are compared all the same.
  """
  if kind == 'ppo':
    for prompts in _halves(fields['prompts'], fields['minibatches']):
      part = prompts // fields['minibatches']
      smaller = {**fields, 'prompts': prompts}
      for rollout in _halves(prompts, min(prompts, 32)):
        for micro in _halves(part, 1):
          yield {**smaller, 'rollout': rollout, 'micro': micro}
    return
  if kind not in ('lm', 'pm'):
    yield fields
    return
  for micro in _halves(fields['rows' if kind == 'lm' else 'pairs'], 1):
    yield {**fields, 'micro': micro}


def first_that_fits(
  found: Iterator[Fields],
  bytes_of: Callable[[Fields], float],
  memory: float | None,
) -> tuple[Fields | None, float]:
  """The first choice within a memory, and the least that any choice needs.

  Where the memory is not known the first choice is taken.
  """
  least = float('inf')
  for fields in found:
    least = min(least, bytes_of(fields))
    if memory is None or bytes_of(fields) <= memory:
      return fields, least
  return None, least
