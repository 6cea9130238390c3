"""Pages and commands of workers.

A command answers with what was stored and with where the worker is then, so
that a page needs one request for a step.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.responses import (
  JSONResponse,
  RedirectResponse,
  Response,
  StreamingResponse,
)

from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import (
  deployment,
  exchanges,
  people,
  requests,
  security,
  view,
  work,
)
from hh_jax.feedback.refusals import RefusedError
from hh_jax.feedback.serving import ANYONE, Ask, Services, route

Command = Callable[[sa.Connection], requests.Ack]


def home(ask: Ask) -> Response:
  """Leads to where the visitor belongs."""
  if ask.visitor is None:
    return RedirectResponse('/join', 303)
  return RedirectResponse('/admin' if ask.actor.is_admin else '/talk', 303)


def join_page(ask: Ask) -> Response:
  """Opens a link; its token is after the #, where only scripts see it."""
  return ask.page('join.html')


async def join(ask: Ask) -> Response:
  """Trades the token of a link for a session."""
  services = ask.services
  token = ask.json().get('token')
  try:
    if not isinstance(token, str):
      raise RefusedError(401, 'unknown_link', 'This link is not known.')
    actor = await run_in_threadpool(_actor_of, services, token)
  except RefusedError:
    client = ask.request.client
    services.failed_joins.take(client.host if client else '')
    raise
  if not actor.is_admin:
    await ask.write(lambda connection: work.join(connection, actor))
  session = services.sessions.issue(actor.invite_id)
  nonce = (services.sessions.read(session) or (0, ''))[1]
  response = JSONResponse(
    {
      'next': '/admin' if actor.is_admin else '/instructions',
      'form_token': services.sessions.form_token(nonce),
    }
  )
  response.set_cookie(
    security.COOKIE,
    session,
    max_age=services.sessions.seconds,
    secure=services.is_secure,
    httponly=True,
    samesite='lax',
  )
  return response


def _actor_of(services: Services, token: str) -> people.Actor:
  with services.database.reading() as connection:
    return people.actor_of_token(connection, token)


def leave(ask: Ask) -> Response:
  """Ends the session on this device."""
  response = RedirectResponse('/join', 303)
  response.delete_cookie(security.COOKIE)
  return response


def instructions(ask: Ask) -> Response:
  """What to write and how to choose, for the worker's task."""
  return ask.page('instructions.html', task=ask.actor.task)


def work_page(ask: Ask) -> Response:
  """The page on which everything happens."""
  return ask.page('work.html', task=ask.actor.task, limits=ask.services.config)


def state(ask: Ask) -> Response:
  """Where the worker is; see `view.worker_state`."""
  with ask.services.database.reading() as connection:
    return JSONResponse(_state(ask, connection))


def _state(ask: Ask, connection: sa.Connection) -> view.State:
  return view.worker_state(connection, ask.actor, ask.services.config)


async def _done(ask: Ask, command: Command) -> Response:
  """Carries out a command; answers what was stored, and what comes next."""
  answer = await ask.carry_out(
    command,
    lambda connection, ack: {'stored': ack, 'state': _state(ask, connection)},
  )
  return JSONResponse(answer)


def _weights(ask: Ask) -> Callable[[sa.Connection], dict[int, float]]:
  deployed = ask.services.deployed
  return lambda connection: deployment.shares(connection, deployed)


def _read_turn(
  ask: Ask, connection: sa.Connection, turn: int
) -> tuple[exchanges.Exchange, Dialogue]:
  """An own turn, and what it answers."""
  found = view.own_turn(connection, ask.actor, turn)
  before = exchanges.read(connection, found.conversation_id)
  return found, exchanges.prompt_of(before[: found.number - 1], found.text)


async def _have_answered(ask: Ask, command: Command) -> Response:
  """Carries out a command and has the turn that it is about answered."""

  def then(
    connection: sa.Connection, ack: requests.Ack
  ) -> tuple[view.State, exchanges.Exchange, Dialogue]:
    answer: view.State = {'stored': ack, 'state': _state(ask, connection)}
    return answer, *_read_turn(ask, connection, ack['turn'])

  ask.services.live.require_room()
  answer, turn, dialogue = await ask.carry_out(command, then)
  ask.services.live.start(turn, dialogue)
  return JSONResponse(answer)


async def begin_turn(ask: Ask) -> Response:
  """Keeps a message and has it answered."""
  message = ask.json()
  return await _have_answered(
    ask,
    lambda connection: work.begin_turn(
      connection, ask.actor, ask.services.config, _weights(ask), message
    ),
  )


async def retry(ask: Ask) -> Response:
  """Has a turn answered anew that nobody answered."""
  turn = ask.number('turn')
  return await _have_answered(
    ask,
    lambda connection: work.retry(connection, ask.actor, _weights(ask), turn),
  )


async def stream(ask: Ask) -> Response:
  """Server-sent events: pieces of both replies, then how it ended."""

  def read() -> tuple[exchanges.Exchange, Dialogue]:
    with ask.services.database.reading() as connection:
      return _read_turn(ask, connection, ask.number('turn'))

  found, dialogue = await run_in_threadpool(read)
  ask.services.live.start(found, dialogue)

  async def events() -> AsyncIterator[str]:
    yield 'retry: 1000\n\n'
    if found.failure is not None:
      yield _event({'end': 'failed'})
      return
    async for frame in ask.services.live.watch(found.attempt_id):
      yield _event(frame) if frame else ': still writing\n\n'

  return StreamingResponse(
    events(),
    media_type='text/event-stream',
    headers={'x-accel-buffering': 'no'},
  )


def _event(frame: dict[str, object]) -> str:
  return f'data: {json.dumps(frame)}\n\n'


async def choose(ask: Ask) -> Response:
  """Keeps a choice between two replies."""
  turn, choice = ask.number('turn'), ask.json()
  return await _done(
    ask,
    lambda connection: work.choose(
      connection, ask.actor, ask.services.config, turn, choice
    ),
  )


async def report(ask: Ask) -> Response:
  """Keeps that a reply should not have been shown."""
  turn, body = ask.number('turn'), ask.json()
  return await _done(
    ask,
    lambda connection: work.report(
      connection, ask.actor, ask.services.config, turn, body
    ),
  )


async def end(ask: Ask) -> Response:
  """Finishes or skips a conversation."""
  conversation, ending = ask.number('conversation'), ask.json()
  return await _done(
    ask,
    lambda connection: work.end(
      connection, ask.actor, ask.services.config, conversation, ending
    ),
  )


async def review(ask: Ask) -> Response:
  """Keeps a second look at another worker's comparison."""
  number, verdict = ask.number('review'), ask.json()
  return await _done(
    ask, lambda connection: work.review(connection, ask.actor, number, verdict)
  )


async def act(ask: Ask) -> Response:
  """Keeps that the worker pauses, goes on or rests."""
  kind = ask.json().get('kind')
  return await _done(
    ask, lambda connection: work.act(connection, ask.actor, kind)
  )


def health(ask: Ask) -> Response:
  """Whether the database can be read, for load balancers."""
  with ask.services.database.reading() as connection:
    connection.execute(sa.select(sa.literal(1))).one()
  return JSONResponse({'ok': True, 'version': ask.services.version})


ROUTES = (
  route('GET', '/', home, ANYONE),
  route('GET', '/join', join_page, ANYONE),
  route('POST', '/api/join', join, ANYONE),
  route('GET', '/health', health, ANYONE),
  route('POST', '/leave', leave, ANYONE),
  route('GET', '/instructions', instructions),
  route('GET', '/talk', work_page),
  route('GET', '/api/state', state),
  route('POST', '/api/turns', begin_turn),
  route('GET', '/api/turns/{turn:id}/stream', stream),
  route('POST', '/api/turns/{turn:id}/retry', retry),
  route('POST', '/api/turns/{turn:id}/choice', choose),
  route('POST', '/api/turns/{turn:id}/report', report),
  route('POST', '/api/conversations/{conversation:id}/end', end),
  route('POST', '/api/reviews/{review:id}', review),
  route('POST', '/api/activities', act),
)
