"""Replies while they are being written.

1. An attempt is one task that asks the two snapshots and keeps what they have
   said so far. Any number of pages may watch it, and none has to.
2. Both replies are shown up to the same number of characters, and what one has
   beyond the other once both have ended: neither the faster nor the slower
   model is known by its speed. If one of the two cannot stream, both appear
   when both are there.
3. What may turn out to be a turn marker is held back, and a reply ends there.
4. Both replies are stored in one transaction, and only then may the worker
   choose. A server that dies before asks again, with the same seed.
5. A model that is silent, breaks off or cannot be reached makes the attempt a
   failure, which is stored with its reason; a reply without end is cut.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from hh_jax.config.feedback import FeedbackConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import exchanges, schema
from hh_jax.feedback.database import Database, UnavailableError
from hh_jax.feedback.deployment import Deployed
from hh_jax.feedback.policies.protocol import (
  Policy,
  PolicyError,
  begun_marker,
  cut_at_marker,
)
from hh_jax.feedback.refusals import RefusedError

Frame = dict[str, Any]  # JSON sent to a page

HEARTBEAT = 10.0  # seconds between two signs of life
_MOST_ENDED = 4096  # attempts whose end is remembered
_STORE_TRIES = (0.2, 1.0, 3.0)  # seconds waited between tries
# No text; and what a page's text box would not give back as it was.
_UNSEEN = str.maketrans(dict.fromkeys((0, ord('\r'), *range(0xD800, 0xE000))))

log = logging.getLogger(__name__)


@dataclasses.dataclass
class _Side:
  """One reply so far."""

  text: str = ''
  finish: str = ''
  seconds: float = 0.0

  @property
  def num_shown(self) -> int:
    """Characters that will not be taken back."""
    return len(self.text) - (0 if self.finish else begun_marker(self.text))

  def add(self, text: str, finish: str, most: int) -> None:
    text, has_marker = cut_at_marker(self.text + text.translate(_UNSEEN))
    if has_marker:
      finish = 'stop'
    if len(text) > most:
      text, finish = text[:most], 'length'
    self.text, self.finish = text, finish


class _Race:
  """Two replies on their way."""

  def __init__(self, can_stream: bool):
    self.sides = (_Side(), _Side())
    self.outcome = ''  # 'done', 'failed' or 'unstored'
    self._can_stream = can_stream
    self._started = time.monotonic()
    self.changed = asyncio.Event()  # set once; another one takes its place

  @property
  def num_shown(self) -> int:
    if self.is_over(range(len(self.sides))):
      return max(len(side.text) for side in self.sides)
    if not self._can_stream:
      return 0
    return min(side.num_shown for side in self.sides)

  def add(self, side: int, text: str, finish: str, most: int) -> None:
    """Takes more text of a reply, unless that has ended."""
    found = self.sides[side]
    if not found.finish:
      found.add(text, finish, most)
      if found.finish:
        found.seconds = time.monotonic() - self._started
      self.tell()

  def is_over(self, sides: Sequence[int]) -> bool:
    return all(self.sides[side].finish for side in sides)

  def tell(self) -> None:
    changed, self.changed = self.changed, asyncio.Event()
    changed.set()


class Live:
  """All attempts that this process is answering."""

  def __init__(
    self,
    database: Database,
    deployed: Mapping[int, Deployed],
    config: FeedbackConfig,
  ):
    self._database = database
    self._deployed = deployed
    self._config = config
    self._races: dict[int, _Race] = {}
    # How the newest ended, as the database has it: who read that just before
    # asks for them.
    self._ended: dict[int, str] = {}
    self._tasks: set[asyncio.Task[None]] = set()

  @property
  def num_running(self) -> int:
    return len(self._races)

  def require_room(self) -> None:
    """Raises RefusedError if no further turn can be answered now."""
    if len(self._races) >= self._config.max_live:
      raise RefusedError(
        503, 'full', 'Many people are writing. Please try again in a moment.'
      )

  def start(self, turn: exchanges.Exchange, dialogue: Dialogue) -> None:
    """Has an attempt answered, if nobody is answering it already."""
    known = turn.attempt_id in self._races or turn.attempt_id in self._ended
    if known or turn.replies or turn.failure:
      return
    policies = [self._policy_of(snapshot) for snapshot in turn.snapshots]
    race = _Race(all(policy.can_stream for policy in policies))
    self._races[turn.attempt_id] = race
    task = asyncio.create_task(self._answer(race, turn, dialogue, policies))
    self._tasks.add(task)
    task.add_done_callback(self._tasks.discard)

  def _policy_of(self, snapshot: int) -> Policy:
    found = self._deployed.get(snapshot)
    return found.policy if found else _Gone(snapshot)

  async def watch(self, attempt_id: int) -> AsyncIterator[Frame]:
    """Yields what is new, the first time all there is, and how it ended.

    An empty frame is a sign of life.
    """
    race, sent = self._races.get(attempt_id), 0
    while race is not None:
      # All read at once: what changes during a yield is seen the next time.
      changed, outcome, count = race.changed, race.outcome, race.num_shown
      if count > sent:
        first, second = (side.text[sent:count] for side in race.sides)
        yield {'from': sent, 'a': first, 'b': second}
        sent = count
      if outcome:
        yield {'end': outcome}
        return
      try:
        await asyncio.wait_for(changed.wait(), HEARTBEAT)
      except TimeoutError:
        yield {}
    yield {'end': self._ended.get(attempt_id, 'done')}

  async def close(self) -> None:
    """Stops all tasks; what they had not stored is asked for again later."""
    for task in tuple(self._tasks):
      task.cancel()
    await asyncio.gather(*self._tasks, return_exceptions=True)
    for entry in self._deployed.values():
      await entry.policy.close()

  async def _answer(
    self,
    race: _Race,
    turn: exchanges.Exchange,
    dialogue: Dialogue,
    policies: Sequence[Policy],
  ) -> None:
    try:
      failure = await self._failure(race, turn, dialogue, policies)
      race.outcome = await self._store(race, turn.attempt_id, failure)
    finally:
      self._end(race, turn.attempt_id)

  def _end(self, race: _Race, attempt_id: int) -> None:
    del self._races[attempt_id]
    race.outcome = race.outcome or 'unstored'
    if race.outcome != 'unstored':  # else who comes next has it answered anew
      self._ended[attempt_id] = race.outcome
      if len(self._ended) > _MOST_ENDED:
        del self._ended[next(iter(self._ended))]
    race.tell()

  async def _failure(
    self,
    race: _Race,
    turn: exchanges.Exchange,
    dialogue: Dialogue,
    policies: Sequence[Policy],
  ) -> str:
    """Has both replies written; returns why that failed, or ''."""
    failure = ''
    try:
      await self._ask(race, turn, dialogue, policies)
    except* PolicyError as group:
      failure = '; '.join(str(error) for error in group.exceptions)
    except* Exception as group:
      log.exception('attempt %d broke', turn.attempt_id)
      failure = '; '.join(repr(error) for error in group.exceptions)
    return failure

  async def _ask(
    self,
    race: _Race,
    turn: exchanges.Exchange,
    dialogue: Dialogue,
    policies: Sequence[Policy],
  ) -> None:
    async with asyncio.TaskGroup() as group:
      first, second = turn.snapshots
      sides = [(0, 1)] if first == second else [(0,), (1,)]
      for own in sides:
        group.create_task(
          self._listen(race, own, policies[own[0]], dialogue, turn.seed)
        )

  async def _listen(
    self,
    race: _Race,
    sides: tuple[int, ...],
    policy: Policy,
    dialogue: Dialogue,
    seed: int,
  ) -> None:
    """Takes the pieces of one or both replies until they end."""
    config = self._config
    deadline = time.monotonic() + config.reply_seconds
    patience = config.reply_seconds  # others may be before us in a queue
    pieces = policy.generate(dialogue, sides, seed)
    try:
      while not race.is_over(sides):
        left = min(patience, deadline - time.monotonic())
        async with asyncio.timeout(max(left, 0.0)):
          piece = await anext(pieces)
        race.add(piece.reply, piece.text, piece.finish, config.max_reply)
        if policy.can_stream:
          patience = min(patience, config.silence_seconds)
    except StopAsyncIteration:
      raise PolicyError(f'{policy.name} broke off') from None
    except TimeoutError:
      if time.monotonic() < deadline or not all(
        race.sides[side].text for side in sides
      ):
        raise PolicyError(f'{policy.name} said nothing for too long') from None
      for side in sides:
        race.add(side, '', 'time', config.max_reply)
    finally:
      await pieces.aclose()

  async def _store(self, race: _Race, attempt_id: int, failure: str) -> str:
    """Keeps the replies or the failure; returns how the attempt ended."""
    if failure:
      log.warning('attempt %d failed: %s', attempt_id, failure)
    for pause in (*_STORE_TRIES, None):
      try:
        await asyncio.wrap_future(
          self._database.submit(
            lambda connection: _insert(connection, race, attempt_id, failure)
          )
        )
        return 'failed' if failure else 'done'
      except UnavailableError as error:
        log.warning('replies of attempt %d not stored: %s', attempt_id, error)
        if pause is None:
          break
        await asyncio.sleep(pause)
    return 'unstored'


class _Gone:
  """A snapshot that this server was not started with."""

  can_stream = True
  share = 0.0
  spec: Mapping[str, object] = {}

  def __init__(self, snapshot: int):
    self.name = f'snapshot {snapshot}'

  async def generate(
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ):
    """Fails."""
    raise PolicyError(f'{self.name} is not served any more')
    yield  # what makes this a stream

  async def close(self) -> None:
    """Holds nothing."""


def _insert(
  connection: sa.Connection, race: _Race, attempt_id: int, failure: str
) -> None:
  if is_answered(connection, attempt_id):
    return  # another process was faster
  now = time.time()
  if failure:
    row = {'attempt_id': attempt_id, 'reason': failure, 'created_at': now}
    connection.execute(sa.insert(schema.failures).values(row))
    return
  rows = [
    {
      'attempt_id': attempt_id,
      'slot': slot,
      'text': side.text.strip(),
      'finish': side.finish,
      'seconds': side.seconds,
      'created_at': now,
    }
    for slot, side in zip(schema.SLOTS, race.sides)
  ]
  connection.execute(sa.insert(schema.replies), rows)


def is_answered(connection: sa.Connection, attempt_id: int) -> bool:
  """Whether replies or the failure of an attempt are stored."""
  for table in (schema.replies, schema.failures):
    query = sa.select(table.c.attempt_id).where(
      table.c.attempt_id == attempt_id
    )
    if connection.execute(query.limit(1)).first() is not None:
      return True
  return False
