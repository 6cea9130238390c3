"""From a route to a handler: who asks, is it allowed, what came, what failed.

1. Every route says who may use it. A request is checked in this order: session,
   rate, access, forgery, size and form of the body. Only then a handler runs.
2. Handlers are plain functions on threads, or coroutines; they return a
   response or raise. What workers send waits for the database's writer and
   holds no thread that readers need.
3. `RefusedError` becomes its status with a sentence for people, an unavailable
   database 503: never 200 for what was not stored.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import logging
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import jinja2
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
  HTMLResponse,
  JSONResponse,
  RedirectResponse,
  Response,
)
from starlette.routing import Route

from hh_jax.config.feedback import FeedbackConfig
from hh_jax.feedback import people, requests, security
from hh_jax.feedback.database import Database, UnavailableError
from hh_jax.feedback.deployment import Deployed
from hh_jax.feedback.lately import Lately
from hh_jax.feedback.live import Live
from hh_jax.feedback.people import Actor
from hh_jax.feedback.refusals import RefusedError, not_found

ANYONE, WORKER, ADMIN = 'anyone', 'worker', 'admin'

ResultT = TypeVar('ResultT')

_LARGEST_ID = 2**31 - 1  # of a database column

log = logging.getLogger(__name__)


class _Id(Convertor[int]):
  """`{name:id}` in a path: digits, so few that they are always a number."""

  regex = '[0-9]{1,10}'

  def convert(self, value: str) -> int:
    return int(value)

  def to_string(self, value: int) -> str:
    return str(value)


register_url_convertor('id', _Id())


@dataclasses.dataclass(frozen=True)
class Services:
  """What handlers use; one a process."""

  config: FeedbackConfig
  database: Database
  deployed: Mapping[int, Deployed]
  live: Live
  sessions: security.Sessions
  rates: security.Buckets  # of sessions
  failed_joins: security.Buckets  # of addresses
  overview: Lately  # what researchers see first
  pages: jinja2.Environment
  version: str  # of the pages' scripts
  origin: str  # scheme and host that people see; '' takes any
  is_secure: bool  # cookies are for https only


@dataclasses.dataclass(frozen=True)
class Ask:
  """A request that passed the checks."""

  services: Services
  request: Request
  body: bytes
  nonce: str  # of the session
  _actor: Actor | None

  @property
  def actor(self) -> Actor:
    if self._actor is None:
      raise RefusedError(401, 'no_session', 'Open your link again.')
    return self._actor

  @property
  def visitor(self) -> Actor | None:
    """Who asks, if the route is open to anyone."""
    return self._actor

  def number(self, name: str) -> int:
    """The id of a row in the path."""
    value = self.request.path_params[name]
    if value > _LARGEST_ID:
      raise not_found()
    return value

  def json(self) -> dict[str, Any]:
    """The body, a JSON object."""
    try:
      found = json.loads(self.body or b'{}')
    except (ValueError, RecursionError):
      found = None
    if not isinstance(found, dict):
      raise RefusedError(400, 'no_json', 'The request is not a JSON object.')
    return found

  def form(self) -> dict[str, str]:
    """The body, a form; of a name that comes twice the last counts."""
    text = self.body.decode('utf-8', 'replace')
    try:
      return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
    except ValueError:
      raise RefusedError(400, 'no_form', 'The request is not a form.') from None

  def page(self, template: str, /, **values: object) -> Response:
    """A page made from a template, with what every page needs."""
    token = self.services.sessions.form_token(self.nonce) if self.nonce else ''
    html = self.services.pages.get_template(template).render(
      actor=self._actor,
      form_token=token,
      version=self.services.version,
      **values,
    )
    return HTMLResponse(html)

  async def write(self, command: Callable[[sa.Connection], ResultT]) -> ResultT:
    """Runs a command in a transaction, on a writer's thread."""
    return await asyncio.wrap_future(self.services.database.submit(command))

  async def carry_out(
    self,
    command: Callable[[sa.Connection], requests.Ack],
    then: Callable[[sa.Connection, requests.Ack], ResultT],
  ) -> ResultT:
    """Runs a command of this request once; see `requests`.

    Args:
      command: Stores facts and returns what is acknowledged.
      then: Reads, in the same transaction, what it led to.
    """
    key = requests.clean_key(self.request.headers.get('idempotency-key'))
    asked = requests.digest(
      self.request.method, self.request.url.path, self.body
    )

    def both(connection: sa.Connection) -> ResultT:
      ack = requests.carry_out(
        connection, self.actor, key, asked, lambda: command(connection)
      )
      return then(connection, ack)

    return await self.write(both)


Handler = Callable[[Ask], Response | Awaitable[Response]]


def route(
  method: str, path: str, handler: Handler, access: str = WORKER
) -> Route:
  """A route with its checks.

  Args:
    method: 'GET' or 'POST'.
    path: As starlette spells it.
    handler: Gets an `Ask`; a plain function runs on a thread.
    access: Who may use it: ANYONE, WORKER or ADMIN.
  """

  async def endpoint(request: Request) -> Response:
    services: Services = request.app.state.services
    try:
      ask = await _checked(services, request, access)
      if inspect.iscoroutinefunction(handler):
        return await handler(ask)
      found = await run_in_threadpool(handler, ask)
      return found if isinstance(found, Response) else await found
    except RefusedError as refused:
      return refusal(request, services, refused)
    except UnavailableError as error:
      log.warning('%s %s: %s', request.method, path, error)
      return refusal(
        request,
        services,
        RefusedError(
          503,
          'unavailable',
          'This could not be stored. What you wrote is still here; please try '
          'again in a moment.',
        ),
      )

  name = f'{method} {path} {access}'
  return Route(path, endpoint, methods=[method], name=name)


async def _checked(services: Services, request: Request, access: str) -> Ask:
  session = services.sessions.read(request.cookies.get(security.COOKIE))
  actor = None
  if session is not None:
    services.rates.take(str(session[0]))
    try:
      actor = await run_in_threadpool(_actor_of, services, session[0])
    except RefusedError:
      if access != ANYONE:
        raise
  _require_access(actor, access)
  nonce = session[1] if session is not None and actor is not None else ''
  is_change = request.method == 'POST'
  if is_change:
    _require_own_origin(services, request)
  body = await _read(request, services.config.max_body) if is_change else b''
  ask = Ask(services, request, body, nonce, actor)
  if is_change and access != ANYONE:
    _require_form_token(ask)
    _require_fresh_page(services, request)
  return ask


def _actor_of(services: Services, invite_id: int) -> Actor:
  with services.database.reading() as connection:
    return people.actor_of_invite(connection, invite_id)


def _require_access(actor: Actor | None, access: str) -> None:
  if access == ANYONE:
    return
  if actor is None:
    raise RefusedError(401, 'no_session', 'Open your link again.')
  if actor.is_admin != (access == ADMIN):
    raise RefusedError(403, 'not_yours', 'This page is not for you.')


def _require_own_origin(services: Services, request: Request) -> None:
  """Refuses what a page of another site sends; programs send no Origin."""
  origin = request.headers.get('origin')
  own = services.origin or f'{request.url.scheme}://{request.url.netloc}'
  if origin is not None and origin != own:
    raise RefusedError(
      403, 'other_origin', 'This request came from another site.'
    )


def _require_form_token(ask: Ask) -> None:
  token = ask.request.headers.get('x-form-token')
  if token is None and 'json' not in ask.request.headers.get(
    'content-type', ''
  ):
    token = ask.form().get('form_token')
  if not ask.services.sessions.is_form_token(ask.nonce, token):
    raise RefusedError(403, 'no_form_token', 'Reload the page and try again.')


def _require_fresh_page(services: Services, request: Request) -> None:
  """Refuses what a page of an earlier version sends; programs send none."""
  version = request.headers.get('x-page-version')
  if version is not None and version != services.version:
    raise RefusedError(
      409,
      'stale_page',
      'There is a new version of this page; it is loaded '
      'now. What you wrote is kept.',
    )


async def _read(request: Request, most: int) -> bytes:
  parts, size = [], 0
  try:
    async for part in request.stream():
      size += len(part)
      if size > most:
        raise RefusedError(413, 'too_large', 'This is more than can be kept.')
      parts.append(part)
  except ClientDisconnect:
    raise RefusedError(400, 'gone', 'The request broke off.') from None
  return b''.join(parts)


def refusal(
  request: Request, services: Services, refused: RefusedError
) -> Response:
  """What is answered instead: a page, JSON, or the way to the first page."""
  headers = {'retry-after': '2'} if refused.status in (429, 503) else {}
  is_page = not request.url.path.startswith('/api/')
  if is_page and refused.status == 401:
    return RedirectResponse('/join', 303)
  if not is_page:
    body = {'error': refused.code, 'message': refused.message}
    return JSONResponse(body, refused.status, headers)
  html = services.pages.get_template('message.html').render(
    title='That did not work',
    message=refused.message,
    version=services.version,
    actor=None,
    form_token='',
  )
  return HTMLResponse(html, refused.status, headers)
