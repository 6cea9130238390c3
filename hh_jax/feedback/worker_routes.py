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
from hh_jax.feedback.serving import ANYONE, Ask, route


def home(ask: Ask) -> Response:
  """Leads to where the visitor belongs."""
  if ask.visitor is None:
    return RedirectResponse('/join', 303)
  return RedirectResponse('/admin' if ask.actor.is_admin else '/talk', 303)


def join_page(ask: Ask) -> Response:
  """Opens a link; its token is after the #, where only scripts see it."""
  return ask.page('join.html')


def join(ask: Ask) -> Response:
  """Trades the token of a link for a session."""
  services = ask.services
  client = ask.request.client
  address = client.host if client else ''
  services.failed_joins.require(address)
  token = ask.json().get('token')
  try:
    if not isinstance(token, str):
      raise RefusedError(401, 'unknown_link', 'This link is not known.')
    with services.database.reading() as connection:
      actor = people.actor_of_token(connection, token)
  except RefusedError:
    services.failed_joins.take(address)
    raise
  if not actor.is_admin:
    services.database.write(lambda connection: work.join(connection, actor))
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
  return ask.page('work.html', task=ask.actor.task)


def state(ask: Ask) -> Response:
  """Where the worker is; see `view.worker_state`."""
  return JSONResponse(_state(ask))


def _state(ask: Ask) -> view.State:
  with ask.services.database.reading() as connection:
    return view.worker_state(connection, ask.actor, ask.services.config)


def _weights(ask: Ask) -> Callable[[sa.Connection], dict[int, float]]:
  deployed = ask.services.deployed
  return lambda connection: deployment.shares(connection, deployed)


def _done(ask: Ask, ack: requests.Ack) -> Response:
  return JSONResponse({'stored': ack, 'state': _state(ask)})


def _read_turn(
  ask: Ask, turn: int
) -> tuple[exchanges.Exchange, list[exchanges.Exchange]]:
  """An own turn, and the exchanges before it."""
  with ask.services.database.reading() as connection:
    found = view.own_turn(connection, ask.actor, turn)
    if found.number == 1:
      return found, []
    whole = exchanges.read(connection, found.conversation_id)
  return found, whole[: found.number - 1]


async def _start(ask: Ask, turn: int) -> exchanges.Exchange:
  """Has a turn answered, unless it is or was."""
  found, before = await run_in_threadpool(_read_turn, ask, turn)
  dialogue = exchanges.prompt_of(before, found.text)
  ask.services.live.start(found, dialogue)
  return found


async def begin_turn(ask: Ask) -> Response:
  """Keeps a message and has it answered."""
  ask.services.live.require_room()
  message = ask.json()
  ack = await run_in_threadpool(
    ask.carry_out,
    lambda connection: work.begin_turn(
      connection, ask.actor, ask.services.config, _weights(ask), message
    ),
  )
  await _start(ask, ack['turn'])
  return await run_in_threadpool(_done, ask, ack)


async def retry(ask: Ask) -> Response:
  """Has a turn answered anew that nobody answered."""
  ask.services.live.require_room()
  turn = ask.number('turn')
  ack = await run_in_threadpool(
    ask.carry_out,
    lambda connection: work.retry(connection, ask.actor, _weights(ask), turn),
  )
  await _start(ask, turn)
  return await run_in_threadpool(_done, ask, ack)


async def stream(ask: Ask) -> Response:
  """Server-sent events: pieces of both replies, then how it ended."""
  found = await _start(ask, ask.number('turn'))

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


def choose(ask: Ask) -> Response:
  """Keeps a choice between two replies."""
  turn, choice = ask.number('turn'), ask.json()
  ack = ask.carry_out(
    lambda connection: work.choose(
      connection, ask.actor, ask.services.config, turn, choice
    )
  )
  return _done(ask, ack)


def report(ask: Ask) -> Response:
  """Keeps that a reply should not have been shown."""
  turn, body = ask.number('turn'), ask.json()
  ack = ask.carry_out(
    lambda connection: work.report(
      connection, ask.actor, ask.services.config, turn, body
    )
  )
  return _done(ask, ack)


def end(ask: Ask) -> Response:
  """Finishes or skips a conversation."""
  conversation, ending = ask.number('conversation'), ask.json()
  ack = ask.carry_out(
    lambda connection: work.end(
      connection, ask.actor, ask.services.config, conversation, ending
    )
  )
  return _done(ask, ack)


def review(ask: Ask) -> Response:
  """Keeps a second look at another worker's comparison."""
  number, verdict = ask.number('review'), ask.json()
  ack = ask.carry_out(
    lambda connection: work.review(connection, ask.actor, number, verdict)
  )
  return _done(ask, ack)


def act(ask: Ask) -> Response:
  """Keeps that the worker pauses, goes on or rests."""
  kind = ask.json().get('kind')
  ack = ask.carry_out(lambda connection: work.act(connection, ask.actor, kind))
  return _done(ask, ack)


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
