"""Replies while they are being written.

1. An attempt is one task that asks the two snapshots and keeps what they have
   said so far (`race`). Any number of pages may watch it, and none has to.
2. Both replies are stored in one transaction, and only then may the worker
   choose. A server that dies before asks again, with the same seed.
3. A model that is silent, breaks off or cannot be reached makes the attempt a
   failure, which is stored with its reason; a reply without end is cut.
"""

from __future__ import annotations

import asyncio
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
from hh_jax.feedback.policies.protocol import Policy, PolicyError
from hh_jax.feedback.race import Race
from hh_jax.feedback.refusals import RefusedError

Frame = dict[str, Any]  # JSON sent to a page

HEARTBEAT = 10.0  # seconds between two signs of life
_MOST_ENDED = 4096  # attempts whose end is remembered
_STORE_TRIES = (0.2, 1.0, 3.0)  # seconds waited between tries

log = logging.getLogger(__name__)


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
    self._races: dict[int, Race] = {}
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
    race = Race(all(policy.can_stream for policy in policies))
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
    race: Race,
    turn: exchanges.Exchange,
    dialogue: Dialogue,
    policies: Sequence[Policy],
  ) -> None:
    try:
      failure = await self._failure(race, turn, dialogue, policies)
      race.outcome = await self._store(race, turn.attempt_id, failure)
    finally:
      self._end(race, turn.attempt_id)

  def _end(self, race: Race, attempt_id: int) -> None:
    del self._races[attempt_id]
    race.outcome = race.outcome or 'unstored'
    if race.outcome != 'unstored':  # else who comes next has it answered anew
      self._ended[attempt_id] = race.outcome
      if len(self._ended) > _MOST_ENDED:
        del self._ended[next(iter(self._ended))]
    race.tell()

  async def _failure(
    self,
    race: Race,
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
    race: Race,
    turn: exchanges.Exchange,
    dialogue: Dialogue,
    policies: Sequence[Policy],
  ) -> None:
    first, second = turn.snapshots
    tasks: dict[tuple[int, ...], asyncio.Task[None]] = {}
    try:
      async with asyncio.TaskGroup() as group:
        for own in [(0, 1)] if first == second else [(0,), (1,)]:
          tasks[own] = group.create_task(
            self._listen(race, own, policies[own[0]], dialogue, turn.seed)
          )
    finally:
      # Not the one that was only cancelled because the other one failed.
      race.failed = [
        side
        for own, task in tasks.items()
        if not task.cancelled() and task.exception() is not None
        for side in own
      ]

  async def _listen(
    self,
    race: Race,
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

  async def _store(self, race: Race, attempt_id: int, failure: str) -> str:
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
  connection: sa.Connection, race: Race, attempt_id: int, failure: str
) -> None:
  if is_answered(connection, attempt_id):
    return  # another process was faster
  now = time.time()
  if failure:
    row = {
      'attempt_id': attempt_id,
      'reason': failure,
      'slots': ''.join(schema.SLOTS[side] for side in race.failed),
      'created_at': now,
    }
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
