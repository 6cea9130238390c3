"""The host side of sampling: which prompts are prefilled together, and where.

1. Prompts are sorted by length and cut into groups of one size, so that a
   group wastes little padding and every prefill has one of few shapes.
2. A group starts as soon as as many slots are free as it has replies.
3. The last group may be short: its missing prompts are dummies whose replies
   go to a slot that does not exist.
4. Slots have room for the longest sequence among them, rounded up to one of
   `NUM_ROOMS` sizes; once no prompt waits, their number is halved whenever
   half of them are free. Both cost a compilation each, and save the reading
   of what nobody uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hh_jax.config import ModelConfig, SamplingConfig
from hh_jax.data.tokenizer import PAD_ID

PROMPT_MULTIPLE = 32  # prompts are padded to a multiple of this many tokens
NUM_GROUPS = 8  # groups that fill all slots; more refill sooner, prefill worse
NUM_ROOMS = 4  # sizes of a slot
FEWEST_SLOTS = 8  # below, a step costs the same

Group = tuple[int, ...]  # indices of prompts


class Batch(NamedTuple):
  """Prompts that are read together, and where their replies go."""

  tokens: np.ndarray  # [R, P] int32
  lengths: np.ndarray  # [R] int32
  source: np.ndarray  # [R * k] int32, row of each reply's prompt
  slots: np.ndarray  # [R * k] int32; that of a dummy does not exist
  uniforms: np.ndarray  # [R * k, G] float32


@dataclasses.dataclass(frozen=True)
class Plan:
  """Shapes of one run of `generate`."""

  num_samples: int  # replies to each prompt (k)
  num_slots: int
  capacity: int  # most tokens of a slot, prompt and reply
  group_size: int  # prompts of one prefill
  groups: tuple[Group, ...]  # longest first

  def has_room(self, owner: np.ndarray, group: Group) -> bool:
    return int(np.sum(owner < 0)) >= len(group) * self.num_samples

  def room(self, num_tokens: int) -> int:
    """Tokens of a slot for sequences of up to `num_tokens`."""
    step = round_up(-(-self.capacity // NUM_ROOMS))
    return min(round_up(num_tokens, step), self.capacity)

  def keep(self, owner: np.ndarray, is_waiting: bool) -> np.ndarray:
    """The slots to go on with: all of them while prompts wait."""
    slots = np.arange(len(owner))
    running = np.flatnonzero(owner >= 0)
    count = len(slots)
    while not is_waiting and count // 2 >= max(len(running), FEWEST_SLOTS):
      count //= 2
    if count == len(slots):
      return slots
    idle = np.flatnonzero(owner < 0)
    return np.concatenate([running, idle])[:count]

  def fill(
    self,
    group: Group,
    owner: np.ndarray,
    prompts: Sequence[np.ndarray],
    uniforms: np.ndarray,
  ) -> Batch:
    """Gives free slots to the replies of a group.

    Args:
      group: Prompts to start.
      owner: [num_slots], the reply in each slot or -1; updated in place.
      prompts: All prompts.
      uniforms: [N, k, G], draws of all replies.
    """
    size, count = self.group_size, len(group) * self.num_samples
    longest = max(len(prompts[i]) for i in group)
    tokens = np.full((size, round_up(longest)), PAD_ID, np.int32)
    lengths = np.ones(size, np.int32)
    for row, i in enumerate(group):
      lengths[row] = len(prompts[i])
      tokens[row, : lengths[row]] = prompts[i]
    source = np.repeat(np.arange(size, dtype=np.int32), self.num_samples)
    slots = np.full(len(source), self.num_slots, np.int32)
    slots[:count] = np.flatnonzero(owner < 0)[:count]
    draws = np.zeros((len(source), uniforms.shape[-1]), np.float32)
    draws[:count] = uniforms[list(group)].reshape(count, -1)
    sample = np.arange(self.num_samples)
    replies = np.asarray(group)[:, None] * self.num_samples + sample
    owner[slots[:count]] = replies.reshape(-1)
    return Batch(tokens, lengths, source, slots, draws)


def round_up(number: int, multiple: int = PROMPT_MULTIPLE) -> int:
  """The smallest multiple that is not below a number."""
  return -(-number // multiple) * multiple


def make_plan(
  lengths: Sequence[int], num_samples: int, sampling: SamplingConfig
) -> Plan:
  """Groups prompts of similar length; few replies get few slots."""
  num_replies = len(lengths) * num_samples
  enough = 1 << (num_replies - 1).bit_length()
  num_slots = max(num_samples, min(sampling.slots, enough))
  size = max(1, num_slots // (NUM_GROUPS * num_samples))
  order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
  groups = tuple(tuple(order[i : i + size]) for i in range(0, len(order), size))
  longest = sampling.max_prompt or max(lengths)
  capacity = round_up(longest) + sampling.max_new_tokens
  return Plan(num_samples, num_slots, capacity, size, groups)


def check(
  config: ModelConfig,
  lengths: Sequence[int],
  num_ids: int,
  sampling: SamplingConfig,
) -> None:
  """Rejects prompts that cannot be continued.

  Raises:
    ValueError: As many prompts as example ids are needed, each of at least one
      token and short enough for the sampler and for learned positions.
  """
  if len(lengths) != num_ids:
    raise ValueError(f'{len(lengths)} prompts but {num_ids} example ids')
  if min(lengths, default=1) < 1:
    raise ValueError('a prompt is empty; it needs at least one token')
  longest = max(lengths, default=0)
  if sampling.max_prompt and longest > sampling.max_prompt:
    raise ValueError(
      f'a prompt of {longest} tokens exceeds max_prompt='
      f'{sampling.max_prompt}; truncate it first'
    )
  limit = config.max_positions
  total = longest + sampling.max_new_tokens
  if config.positions == 'learned' and total > limit:
    raise ValueError(
      f'prompt of {longest} + max_new_tokens={sampling.max_new_tokens} '
      f'exceeds max_positions={limit}; shorten one of them'
    )
