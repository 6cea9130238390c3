"""What a worker does, each a command inside one transaction.

1. `requests.carry_out` runs them one at a time for each invite, so that two
   tabs and two devices take turns.
2. A command is refused where the page showed what is no longer the case: then
   nothing was stored, and the page asks where the conversation stands.
3. The conversation goes on with the picked reply, in red-team work with the
   more harmful one; an edit of the picked reply takes its place.

Reference: Bai et al. 2022, sections 2.1-2.3 and D.2.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from hh_jax.config.feedback import FeedbackConfig
from hh_jax.feedback import deployment, exchanges, facts, schema, view
from hh_jax.feedback.people import Actor
from hh_jax.feedback.refusals import RefusedError, moved_on, not_found
from hh_jax.feedback.requests import Ack
from hh_jax.feedback.written import clean_seconds, clean_step, clean_text

ACTIVITIES = ('paused', 'resumed', 'rested')
_MOST_CANDIDATES = 200  # newest comparisons that a second look is drawn from


def _require_running(actor: Actor) -> None:
  if actor.is_held:
    raise RefusedError(
      403,
      'held',
      'A researcher has paused your work. All that you did is kept.',
    )


def _open_conversation(
  connection: sa.Connection, actor: Actor, number: int
) -> int:
  """Returns the id of conversation `number`, made if it is the next."""
  place = view.place_of(connection, actor)
  if place.review_id is not None or place.is_complete:
    raise moved_on()
  if number != place.number:
    raise moved_on()
  if place.conversation_id is not None:
    return place.conversation_id
  return facts.add(
    connection,
    schema.conversations,
    invite_id=actor.invite_id,
    number=number,
  )


def begin_turn(
  connection: sa.Connection,
  actor: Actor,
  config: FeedbackConfig,
  weights: Callable[[sa.Connection], Mapping[int, float]],
  message: Mapping[str, object],
) -> Ack:
  """Keeps a human message and draws who answers it.

  Args:
    connection: Of a transaction.
    actor: Who writes.
    config: Limits.
    weights: Shares of the snapshots.
    message: `conversation` and `turn`, numbers from 1 as the page showed them,
      and `text`.

  Returns:
    The ids of the turn and of the attempt to answer it.
  """
  text = clean_text(message.get('text'), config.max_message)
  _require_running(actor)
  number, turn = message.get('conversation'), message.get('turn')
  if type(number) is not int or type(turn) is not int:
    raise RefusedError(
      422, 'no_place', 'conversation and turn must be numbers.'
    )
  conversation = _open_conversation(connection, actor, number)
  before = exchanges.read(connection, conversation)
  if turn != len(before) + 1 or (before and before[-1].step is None):
    raise moved_on()
  if turn > config.max_turns:
    raise RefusedError(
      409,
      'long',
      f'A conversation has up to {config.max_turns} turns. Finish it, please.',
    )
  made = facts.add(
    connection,
    schema.turns,
    conversation_id=conversation,
    number=turn,
    text=text,
  )
  return _attempt(connection, made, 1, weights(connection), ())


def _attempt(
  connection: sa.Connection,
  turn: int,
  number: int,
  weights: Mapping[int, float],
  failed: tuple[int, ...],
) -> Ack:
  seed = secrets.randbits(31)
  first, second = deployment.draw(weights, seed, failed)
  attempt = facts.add(
    connection,
    schema.attempts,
    turn_id=turn,
    number=number,
    snapshot_a=first,
    snapshot_b=second,
    seed=seed,
  )
  return {'turn': turn, 'attempt': attempt}


def _own_exchange(
  connection: sa.Connection, actor: Actor, turn: int
) -> exchanges.Exchange:
  """Returns a turn of the actor's open conversation, the last one.

  Raises:
    RefusedError: It is somebody else's, or the conversation went on.
  """
  found = view.own_turn(connection, actor, turn)
  place = view.place_of(connection, actor)
  if found.conversation_id != place.conversation_id or place.last_turn != turn:
    raise moved_on()
  return found


def retry(
  connection: sa.Connection,
  actor: Actor,
  weights: Callable[[sa.Connection], Mapping[int, float]],
  turn: int,
) -> Ack:
  """Draws anew who answers a turn that nobody answered."""
  _require_running(actor)
  found = _own_exchange(connection, actor, turn)
  if found.replies is not None or found.failure is None:
    raise moved_on()
  table = schema.attempts
  query = (
    sa.select(table.c.snapshot_a, table.c.snapshot_b, schema.failures.c.slots)
    .join_from(table, schema.failures)
    .where(table.c.turn_id == turn)
  )
  failed = tuple(
    {
      row[f'snapshot_{slot}']
      for row in facts.fetch(connection, query)
      for slot in row['slots']
    }
  )
  return _attempt(
    connection, turn, found.attempt + 1, weights(connection), failed
  )


def choose(
  connection: sa.Connection,
  actor: Actor,
  config: FeedbackConfig,
  turn: int,
  choice: Mapping[str, object],
) -> Ack:
  """Keeps which reply is more helpful, or more harmful, and by how much.

  Args:
    connection: Of a transaction.
    actor: Who chose.
    config: Limits.
    turn: Whose replies were shown.
    choice: `step` from 1 to 8, `seconds` it took, and perhaps `edit`, the
      picked reply made better.
  """
  step = clean_step(choice.get('step'))
  seconds = clean_seconds(choice.get('seconds'))
  edit = choice.get('edit')
  if edit is not None:
    edit = clean_text(edit, config.max_reply)
    if actor.task != 'helpful':
      raise RefusedError(
        422, 'no_edit', 'Replies are edited in the helpful task only.'
      )
  _require_running(actor)
  found = _own_exchange(connection, actor, turn)
  if found.replies is None or found.step is not None:
    raise moved_on()
  facts.add(
    connection,
    schema.choices,
    turn_id=turn,
    attempt_id=found.attempt_id,
    step=step,
    seconds=seconds,
  )
  picked = found.replies[exchanges.picked_by(step)].text
  if edit is not None and edit != picked.strip():
    facts.add(connection, schema.edits, turn_id=turn, text=edit)
  return {'turn': turn}


def end(
  connection: sa.Connection,
  actor: Actor,
  config: FeedbackConfig,
  conversation: int,
  ending: Mapping[str, object],
) -> Ack:
  """Finishes or skips a conversation; a second look may follow.

  Args:
    connection: Of a transaction.
    actor: Who works.
    config: Limits and the share of second looks.
    conversation: Which one, by id.
    ending: `kind` 'finished' with a `rating` from 1 to 5, or 'skipped'; and a
      `comment`, which says why a conversation is skipped.
  """
  kind, rating = ending.get('kind'), ending.get('rating')
  is_skipped = kind == 'skipped'
  if kind not in ('finished', 'skipped'):
    raise RefusedError(422, 'no_kind', "kind must be 'finished' or 'skipped'.")
  comment = clean_text(
    ending.get('comment', ''), config.max_message, may_be_empty=not is_skipped
  )
  if is_skipped:
    rating = None
  elif type(rating) is not int or not 1 <= rating <= 5:
    raise RefusedError(422, 'no_rating', 'Rate the conversation from 1 to 5.')
  _require_running(actor)
  place = view.place_of(connection, actor)
  if not view.is_own_conversation(connection, actor, conversation):
    raise not_found()
  if place.conversation_id != conversation:
    raise moved_on()
  found = exchanges.read(connection, conversation)
  if not is_skipped and (not found or found[-1].step is None):
    raise RefusedError(
      409, 'choose_first', 'Choose between the last two replies first.'
    )
  facts.add(
    connection,
    schema.endings,
    conversation_id=conversation,
    kind=kind,
    rating=rating,
    comment=comment,
  )
  _offer_review(connection, actor, config, place.number)
  return {'conversation': conversation}


def _offer_review(
  connection: sa.Connection, actor: Actor, config: FeedbackConfig, number: int
) -> None:
  """Draws whether a second look follows, and at what."""
  rng = random.Random(secrets.randbits(64))
  if rng.random() >= config.review_share:
    return
  candidates = view.reviewable(connection, actor, _MOST_CANDIDATES)
  if candidates:
    facts.add(
      connection,
      schema.reviews,
      invite_id=actor.invite_id,
      number=number,
      turn_id=rng.choice(candidates),
      is_swapped=rng.random() < 0.5,
    )


def review(
  connection: sa.Connection,
  actor: Actor,
  review_id: int,
  verdict: Mapping[str, object],
) -> Ack:
  """Keeps a second look: a `step` of the sides as shown, or None."""
  step = verdict.get('step')
  step = None if step is None else clean_step(step)
  seconds = clean_seconds(verdict.get('seconds'))
  _require_running(actor)
  if not view.is_own_review(connection, actor, review_id):
    raise not_found()
  if view.place_of(connection, actor).review_id != review_id:
    raise moved_on()
  facts.add(
    connection,
    schema.verdicts,
    review_id=review_id,
    step=step,
    seconds=seconds,
  )
  return {'review': review_id}


def report(
  connection: sa.Connection,
  actor: Actor,
  config: FeedbackConfig,
  turn: int,
  body: Mapping[str, object],
) -> Ack:
  """Keeps that a reply should not have been shown, and why."""
  slot = body.get('slot')
  if slot not in schema.SLOTS:
    raise RefusedError(422, 'no_slot', "slot must be 'a' or 'b'.")
  reason = clean_text(body.get('reason'), config.max_message)
  _require_running(actor)
  if view.own_turn(connection, actor, turn).replies is None:
    raise moved_on()
  facts.add(connection, schema.reports, turn_id=turn, slot=slot, reason=reason)
  return {'turn': turn}


def join(connection: sa.Connection, actor: Actor) -> None:
  """Keeps that a worker opened the link."""
  facts.add(
    connection, schema.activities, invite_id=actor.invite_id, kind='joined'
  )


def act(connection: sa.Connection, actor: Actor, kind: object) -> Ack:
  """Keeps that a worker paused, went on or rested."""
  if kind not in ACTIVITIES:
    raise RefusedError(422, 'no_kind', f'kind must be one of {ACTIVITIES}.')
  facts.add(
    connection, schema.activities, invite_id=actor.invite_id, kind=str(kind)
  )
  return {}
