"""One model decoding for many conversations at once, in a thread of its own.

1. A fixed number of slots is decoded a few tokens at a time. Between two such
   calls new requests take free slots and finished replies leave theirs.
2. A prompt is read alone, padded to a power of two, so that few programs are
   compiled and what a reply draws does not depend on who else is waiting.
3. The uniforms of reply i follow from the request's seed and i alone.

Reference: hh_jax/generation; Bai et al. 2022, sections 2.3 and 4.1.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.config import SamplingConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback.policies.protocol import begun_marker
from hh_jax.generation import decode
from hh_jax.generation import state as state_lib
from hh_jax.stages.loading import Run
from hh_jax.training import keys
from hh_jax.types import DecodeState

STEPS = 4  # tokens between two looks at who waits
SHORTEST = 32  # tokens that a prompt is padded to at least
LOST = '\ufffd'  # what half a character decodes to

# New text of a reply and how it ended ('' while it goes on).
Deliver = Callable[[int, str, str], None]

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Request:
  """Replies to one prompt; `deliver` is called from the engine's thread."""

  prompt: np.ndarray  # [P] int32
  replies: Sequence[int]  # numbers that key their draws
  seed: int
  deliver: Deliver
  fail: Callable[[Exception], None]


@dataclasses.dataclass
class _Seat:
  """A slot in use."""

  request: Request
  reply: int
  text: str = ''  # delivered so far


class Engine:
  """Slots, the requests that wait for them, and the thread that decodes."""

  def __init__(self, run: Run, sampling: SamplingConfig):
    """Loads nothing and compiles nothing yet.

    Args:
      run: The model.
      sampling: `max_prompt` and `slots` size the cache.
    """
    self._run = run
    self._sampling = sampling
    self._params = decode.for_decoding(run.model, run.params)
    self._stop_ids = run.tokenizer.turn_markers
    self._capacity = sampling.max_prompt + sampling.max_new_tokens
    self._waiting: collections.deque[Request] = collections.deque()
    self._seats: list[_Seat | None] = [None] * sampling.slots
    self._news = threading.Condition()
    self._is_closed = False
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def encode(self, dialogue: Dialogue) -> np.ndarray:
    """Ids of a prompt; one that is too long loses its beginning."""
    ids = self._run.tokenizer.encode_prompt(dialogue)
    return ids[-self._sampling.max_prompt :]

  def submit(self, request: Request) -> None:
    """Queues a request; it may ask for more replies than there are slots."""
    num_slots = self._sampling.slots
    with self._news:
      for start in range(0, len(request.replies), num_slots):
        part = request.replies[start : start + num_slots]
        self._waiting.append(dataclasses.replace(request, replies=part))
      self._news.notify()

  def close(self) -> None:
    """Ends the thread; requests that run are never answered."""
    with self._news:
      self._is_closed = True
      self._news.notify()
    self._thread.join()

  def _work(self) -> None:
    state = self._empty()
    while True:
      with self._news:
        self._news.wait_for(
          lambda: self._is_closed or self._waiting or any(self._seats)
        )
        if self._is_closed:
          return
      try:
        state = self._step(state)
      except Exception as error:  # told to all who wait; then a new start
        log.exception('decoding broke')
        state = self._empty()
        self._give_up(error)

  def _empty(self) -> DecodeState:
    sampling = self._sampling
    return state_lib.empty_state(
      self._run.model.config,
      sampling.slots,
      self._capacity,
      sampling.max_new_tokens,
    )

  def _step(self, state: DecodeState) -> DecodeState:
    """Seats who fits, decodes a few tokens, delivers."""
    while (request := self._next()) is not None:
      state = self._seat(state, request)
    state = decode.decode(
      self._run.model,
      self._params,
      state,
      STEPS,
      self._sampling,
      self._stop_ids,
    )
    self._deliver(state)
    return state

  def _next(self) -> Request | None:
    num_free = self._seats.count(None)
    with self._news:
      if self._waiting and len(self._waiting[0].replies) <= num_free:
        return self._waiting.popleft()
    return None

  def _seat(self, state: DecodeState, request: Request) -> DecodeState:
    count, length = len(request.replies), len(request.prompt)
    width = max(SHORTEST, 1 << (length - 1).bit_length())
    width = min(width, self._sampling.max_prompt)
    tokens = np.full((1, width), self._run.tokenizer.pad, np.int32)
    tokens[0, :length] = request.prompt
    free = [i for i, seat in enumerate(self._seats) if seat is None][:count]
    key = keys.fold(request.seed, 'feedback', 'reply')
    read = decode.read_prompts(
      self._run.model,
      self._params,
      jnp.asarray(tokens),
      jnp.asarray([length], jnp.int32),
    )
    state = decode.insert(
      state,
      *read,
      jnp.zeros((count,), jnp.int32),
      jnp.asarray(free, jnp.int32),
      decode.draw_uniforms(
        key,
        jnp.asarray(request.replies, jnp.int32),
        self._sampling.max_new_tokens,
      ),
      jnp.zeros((1,), jnp.int32),
    )
    for slot, reply in zip(free, request.replies):
      self._seats[slot] = _Seat(request, reply)
    return state

  def _deliver(self, state: DecodeState) -> None:
    tokens, counts, is_done, has_eot = jax.device_get(
      (state.tokens, state.num_sampled, state.is_done, state.has_eot)
    )
    for slot, seat in enumerate(self._seats):
      if seat is None:
        continue
      ids = tokens[slot, : counts[slot] - has_eot[slot]]
      text = self._run.tokenizer.decode_reply(ids)
      finish = ''
      if is_done[slot]:
        is_full = counts[slot] == tokens.shape[1] and not has_eot[slot]
        finish = 'length' if is_full else 'stop'
        self._seats[slot] = None
      else:
        text = text[: len(text) - begun_marker(text)].rstrip(LOST)
      if finish or len(text) > len(seat.text):
        seat.request.deliver(seat.reply, text[len(seat.text) :], finish)
        seat.text = text

  def _give_up(self, error: Exception) -> None:
    with self._news:
      requests = [seat.request for seat in self._seats if seat is not None]
      requests += self._waiting
      self._waiting.clear()
    self._seats = [None] * len(self._seats)
    for request in requests:
      request.fail(error)
