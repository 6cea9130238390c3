"""One model decoding for many conversations at once, in a thread of its own.

1. A fixed number of slots is decoded a few tokens at a time. Between two such
   calls new requests take free slots, and replies that have ended, or that
   nobody waits for any more, leave theirs.
2. A prompt is read alone, padded to a power of two, so that few programs are
   compiled and what a reply draws does not depend on who else is waiting.
3. The uniforms of reply i follow from the request's seed and i alone.
4. All programs are compiled before the first request, which would otherwise
   wait for them.

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
from hh_jax.generation import decode, plan
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
  # Set by who waits no longer.
  given_up: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass
class _Seat:
  """A slot in use."""

  request: Request
  reply: int
  text: str = ''  # delivered so far


class Engine:
  """Slots, the requests that wait for them, and the thread that decodes."""

  def __init__(self, run: Run, sampling: SamplingConfig, counts: Sequence[int]):
    """Compiles, which takes a while, and starts the thread.

    Args:
      run: The model.
      sampling: `max_prompt` and `slots` size the cache.
      counts: How many replies one request may ask for.

    Raises:
      ValueError: The model has no positions for such prompts and replies.
    """
    plan.check(run.model.config, [sampling.max_prompt], 1, sampling)
    self._run = run
    self._sampling = sampling
    self._params = decode.for_decoding(run.model, run.params)
    self._stop_ids = run.tokenizer.turn_markers
    self._capacity = sampling.max_prompt + sampling.max_new_tokens
    self._waiting: collections.deque[Request] = collections.deque()
    self._seats: list[_Seat | None] = [None] * sampling.slots
    self._news = threading.Condition()
    self._is_closed = False
    self._compile(counts)
    self._thread = threading.Thread(target=self._work, daemon=True)
    self._thread.start()

  def encode(self, dialogue: Dialogue) -> np.ndarray:
    """Ids of a prompt; one that is too long loses its beginning."""
    ids = self._run.tokenizer.encode_prompt(dialogue)
    return ids[-self._sampling.max_prompt :]

  def submit(self, request: Request) -> None:
    """Queues a request; it may ask for more replies than there are slots."""
    start = 0
    with self._news:
      for size in _parts(len(request.replies), self._sampling.slots):
        part = request.replies[start : start + size]
        self._waiting.append(dataclasses.replace(request, replies=part))
        start += size
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
    return decode.empty_state(
      self._run.model.config,
      sampling.slots,
      self._capacity,
      sampling.max_new_tokens,
      None,
    )

  def _compile(self, counts: Sequence[int]) -> None:
    """Reads a prompt of every width for every number of replies, no further."""
    most = self._sampling.slots
    sizes = sorted({size for count in counts for size in _parts(count, most)})
    state, width = self._empty(), SHORTEST
    while True:
      width = min(width, self._sampling.max_prompt)
      for size in sizes:
        prompt = np.full(width, self._run.tokenizer.eot, np.int32)
        request = Request(prompt, range(size), 0, _nobody, _nobody)
        state = self._insert(state, request, range(size))
      if width == self._sampling.max_prompt:
        break
      width *= 2
    jax.block_until_ready(self._decode(state, 0))

  def _step(self, state: DecodeState) -> DecodeState:
    """Seats who fits, decodes a few tokens, delivers."""
    while (request := self._next()) is not None:
      state = self._seat(state, request)
    state = self._decode(state, STEPS)
    self._deliver(state)
    return state

  def _decode(self, state: DecodeState, num_steps: int) -> DecodeState:
    return decode.decode(
      self._run.model,
      self._params,
      state,
      num_steps,
      self._sampling,
      self._stop_ids,
    )

  def _next(self) -> Request | None:
    num_free = self._seats.count(None)
    with self._news:
      while self._waiting and self._waiting[0].given_up.is_set():
        self._waiting.popleft()
      if self._waiting and len(self._waiting[0].replies) <= num_free:
        return self._waiting.popleft()
    return None

  def _seat(self, state: DecodeState, request: Request) -> DecodeState:
    count = len(request.replies)
    free = [i for i, seat in enumerate(self._seats) if seat is None][:count]
    state = self._insert(state, request, free)
    for slot, reply in zip(free, request.replies):
      self._seats[slot] = _Seat(request, reply)
    return state

  def _insert(
    self, state: DecodeState, request: Request, slots: Sequence[int]
  ) -> DecodeState:
    """Reads a prompt and starts its replies in free slots."""
    count, length = len(slots), len(request.prompt)
    width = max(SHORTEST, 1 << (length - 1).bit_length())
    width = min(width, self._sampling.max_prompt)
    tokens = np.full((1, width), self._run.tokenizer.pad, np.int32)
    tokens[0, :length] = request.prompt
    key = keys.fold(request.seed, 'feedback', 'reply')
    read = decode.read_prompts(
      self._run.model,
      self._params,
      jnp.asarray(tokens),
      jnp.asarray([length], jnp.int32),
    )
    return decode.insert(
      state,
      *read,
      jnp.zeros((count,), jnp.int32),
      jnp.asarray(slots, jnp.int32),
      decode.draw_uniforms(
        key,
        jnp.asarray(request.replies, jnp.int32),
        self._sampling.max_new_tokens,
      ),
      jnp.zeros((1,), jnp.int32),
    )

  def _deliver(self, state: DecodeState) -> None:
    tokens, counts, is_done, has_eot = jax.device_get(
      (state.tokens, state.num_sampled, state.is_done, state.has_eot)
    )
    for slot, seat in enumerate(self._seats):
      if seat is None:
        continue
      if seat.request.given_up.is_set():
        self._seats[slot] = None
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


def _parts(count: int, most: int) -> list[int]:
  """Sizes of the parts of a request, none larger than `most`."""
  return [min(most, count - start) for start in range(0, count, most)]


def _nobody(*_: object) -> None:
  """Takes what nobody waits for."""
