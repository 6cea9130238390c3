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
5. A prompt of several replies is kept in a place of its own, twice as many as
   fill all slots, because the last reply of a prompt outlives the others. The
   room in question is then that of a place.
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
SPARE_PLACES = 2  # places for each prompt whose replies fill their slots

Group = tuple[int, ...]  # indices of prompts


class Batch(NamedTuple):
  """Prompts that are read together, and where their replies go."""

  tokens: np.ndarray  # [R, P] int32
  lengths: np.ndarray  # [R] int32
  source: np.ndarray  # [R * k] int32, row of each reply's prompt
  slots: np.ndarray  # [R * k] int32; that of a dummy does not exist
  uniforms: np.ndarray  # [R * k, G] float32
  places: np.ndarray  # [R] int32, of the prompts; a dummy's does not exist


@dataclasses.dataclass
class Seats:
  """Who is where while replies are sampled."""

  replies: np.ndarray  # [B] int, the reply in each slot, -1 where free
  prompts: np.ndarray  # [N] int, the prompt in each place, or -1
  num_samples: int  # replies to each prompt (k)

  @property
  def is_empty(self) -> bool:
    return not np.any(self.replies >= 0)

  @property
  def is_read(self) -> np.ndarray:
    """[N] bool, whether replies to the prompt are still sampled."""
    running = self.replies[self.replies >= 0] // self.num_samples
    return np.isin(self.prompts, running)

  def has_room(self, group: Group) -> bool:
    num_free = int(np.sum(self.replies < 0))
    is_placed = len(self.prompts) == 0 or np.sum(~self.is_read) >= len(group)
    return bool(is_placed) and num_free >= len(group) * self.num_samples

  def take(self, slots: np.ndarray, places: np.ndarray) -> Seats:
    return Seats(self.replies[slots], self.prompts[places], self.num_samples)


@dataclasses.dataclass(frozen=True)
class Plan:
  """Shapes of one run of `generate`."""

  num_samples: int  # replies to each prompt (k)
  num_slots: int
  num_places: int  # 0 where slots hold their prompts
  capacity: int  # most tokens of a slot, prompt and reply, or of a place
  group_size: int  # prompts of one prefill
  groups: tuple[Group, ...]  # longest first

  def seats(self) -> Seats:
    """All of them free."""
    slots, places = np.full(self.num_slots, -1), np.full(self.num_places, -1)
    return Seats(slots, places, self.num_samples)

  def room(self, num_tokens: int) -> int:
    """Tokens of a slot, or of a place, for up to `num_tokens`."""
    step = round_up(-(-self.capacity // NUM_ROOMS))
    return min(round_up(num_tokens, step), self.capacity)

  def keep(
    self, seats: Seats, is_waiting: bool
  ) -> tuple[np.ndarray, np.ndarray]:
    """The slots and places to go on with: all of them while prompts wait."""
    if is_waiting:
      return np.arange(len(seats.replies)), np.arange(len(seats.prompts))
    slots = _first_half(seats.replies >= 0, FEWEST_SLOTS)
    return slots, _first_half(seats.is_read, 1)

  def fill(
    self,
    group: Group,
    seats: Seats,
    prompts: Sequence[np.ndarray],
    uniforms: np.ndarray,
  ) -> Batch:
    """Gives free slots to the replies of a group, and places to its prompts.

    Args:
      group: Prompts to start.
      seats: Where they are found; updated in place.
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
    slots[:count] = np.flatnonzero(seats.replies < 0)[:count]
    draws = np.zeros((len(source), uniforms.shape[-1]), np.float32)
    draws[:count] = uniforms[list(group)].reshape(count, -1)
    sample = np.arange(self.num_samples)
    is_read = seats.is_read
    replies = np.asarray(group)[:, None] * self.num_samples + sample
    seats.replies[slots[:count]] = replies.reshape(-1)
    places = np.full(size, self.num_places, np.int32)
    if self.num_places:
      places[: len(group)] = np.flatnonzero(~is_read)[: len(group)]
      seats.prompts[places[: len(group)]] = group
    return Batch(tokens, lengths, source, slots, draws, places)


def _first_half(is_used: np.ndarray, fewest: int) -> np.ndarray:
  """Numbers of what is used, then of the rest, halved as often as fits."""
  count, used = len(is_used), int(np.sum(is_used))
  while count // 2 >= max(used, fewest):
    count //= 2
  if count == len(is_used):
    return np.arange(count)
  return np.argsort(~is_used, kind='stable')[:count]


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
  capacity = round_up(sampling.max_prompt or max(lengths))
  num_places = 0
  if num_samples > 1:
    num_places = SPARE_PLACES * max(size, num_slots // num_samples)
  else:
    capacity += sampling.max_new_tokens
  return Plan(num_samples, num_slots, num_places, capacity, size, groups)


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
