"""The web application: routes, pages, static files, and their lifetime."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import time
from collections.abc import AsyncIterator, Sequence

import anyio.to_thread
import jinja2
import markupsafe
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from hh_jax.config.feedback import FeedbackConfig
from hh_jax.feedback import (
  admin_routes,
  database,
  deployment,
  lately,
  live,
  security,
  serving,
  worker_routes,
)
from hh_jax.feedback.policies.protocol import Policy
from hh_jax.feedback.refusals import RefusedError

HERE = pathlib.Path(__file__).parent
STATIC, TEMPLATES = HERE / 'static', HERE / 'templates'
_VERSION_LENGTH = 12  # hex digits


def make_app(
  config: FeedbackConfig,
  opened: database.Database,
  policies: Sequence[Policy],
  secret: str,
  public_url: str = '',
) -> Starlette:
  """Returns the application.

  Args:
    config: Limits.
    opened: The database; closed with the application.
    policies: Who answers; closed with the application.
    secret: Signs cookies.
    public_url: Where people find it, such as https://feedback.example.org.

  Raises:
    ValueError: A policy's name stands for another model in the database.
  """
  deployed = opened.write(
    lambda connection: deployment.register(connection, policies)
  )
  services = serving.Services(
    config=config,
    database=opened,
    deployed=deployed,
    live=live.Live(opened, deployed, config),
    sessions=security.Sessions(secret, config.session_hours),
    rates=security.Buckets(config.requests_per_second, config.request_burst),
    failed_joins=security.Buckets(
      config.failed_joins / 60, config.failed_joins
    ),
    overview=lately.Lately(config.overview_seconds),
    pages=pages(),
    version=version(),
    origin=public_url.rstrip('/'),
    is_secure=public_url.startswith('https://'),
  )

  @contextlib.asynccontextmanager
  async def lifespan(app: Starlette) -> AsyncIterator[None]:
    # More would only wait for a connection to the database.
    anyio.to_thread.current_default_thread_limiter().total_tokens = (
      database.POOL
    )
    yield
    await services.live.close()
    services.database.close()

  static = StaticFiles(directory=STATIC)
  app = Starlette(
    routes=[
      *worker_routes.ROUTES,
      *admin_routes.ROUTES,
      Mount('/static', static, name='static'),
    ],
    middleware=[Middleware(security.SecurityHeaders)],
    exception_handlers={404: _not_found, 405: _not_found},
    lifespan=lifespan,
  )
  app.state.services = services
  return app


async def _not_found(request: Request, error: Exception) -> Response:
  status = getattr(error, 'status_code', 404)
  refused = RefusedError(status, 'not_found', 'There is no such page.')
  return serving.refusal(request, request.app.state.services, refused)


def version() -> str:
  """Names the pages and scripts of this build."""
  digest = hashlib.sha256()
  for folder in (STATIC, TEMPLATES):
    for path in sorted(folder.rglob('*')):
      if path.is_file():
        digest.update(path.read_bytes())
  return digest.hexdigest()[:_VERSION_LENGTH]


def pages() -> jinja2.Environment:
  """The pages, which escape all that they are given."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['when'] = when
  environment.filters['ago'] = ago
  environment.filters['short'] = short
  environment.filters['paragraphs'] = paragraphs
  environment.filters['fields'] = dataclasses.asdict
  return environment


def when(seconds: float) -> str:
  """A time in UTC, to the minute."""
  return time.strftime('%Y-%m-%d %H:%M', time.gmtime(seconds))


def ago(seconds: float, now: float | None = None) -> str:
  """How long ago a time was, in its largest unit."""
  passed = max(0.0, (time.time() if now is None else now) - seconds)
  for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'min')):
    if passed >= size:
      return f'{passed / size:.0f} {unit} ago'
  return 'just now'


def short(value: float) -> str:
  """A count with separators, or a number with two digits."""
  if isinstance(value, int):
    return f'{value:,}'
  return f'{value:.2g}' if abs(value) < 10 else f'{value:,.0f}'


def paragraphs(text: str) -> markupsafe.Markup:
  """Text as escaped paragraphs; the style sheet keeps its line breaks."""
  parts = [part for part in text.split('\n\n') if part.strip()]
  return markupsafe.Markup('').join(
    markupsafe.Markup('<p>{}</p>').format(part) for part in parts
  )
