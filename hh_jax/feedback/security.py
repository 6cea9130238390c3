"""Sessions, forged requests, floods, and what a browser may load.

1. A session is a signed cookie that names an invite and a random nonce. Scripts
   cannot read it, and whether the invite is still good is looked up each time.
2. What changes anything needs a token that only our own pages hold: the
   signature of the session's nonce. An Origin that is not ours is refused, too.
3. Requests of a session, and failed attempts to join from an address, are
   limited by token buckets.
4. A page may load scripts and styles from this server only, none inline, and
   may not be framed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import time

import itsdangerous
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hh_jax.feedback import database
from hh_jax.feedback.refusals import RefusedError

COOKIE = 'hh_session'
SECRET_VARIABLE = 'HH_JAX_FEEDBACK_SECRET'
_SECRET_BYTES = 32
_MOST_BUCKETS = 10_000

HEADERS = {
  'content-security-policy': (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
  ),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  # Not 'no-referrer': browsers then send `Origin: null` with our own forms.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}


class Sessions:
  """Makes and reads signed cookies."""

  def __init__(self, secret: str, hours: float):
    self._seconds = int(3600 * hours)
    self._cookies = itsdangerous.URLSafeTimedSerializer(secret, salt='session')
    self._forms = itsdangerous.Signer(secret, salt='csrf')

  @property
  def seconds(self) -> int:
    """How long a session lasts."""
    return self._seconds

  def issue(self, invite_id: int) -> str:
    """Returns the cookie of a new session."""
    return self._cookies.dumps([invite_id, secrets.token_urlsafe(12)])

  def read(self, cookie: str | None) -> tuple[int, str] | None:
    """Returns the invite and the nonce of a cookie that is ours and fresh."""
    if not cookie:
      return None
    try:
      invite_id, nonce = self._cookies.loads(cookie, max_age=self._seconds)
    except (itsdangerous.BadData, ValueError, TypeError):
      return None
    return int(invite_id), str(nonce)

  def form_token(self, nonce: str) -> str:
    """What a page of this session sends along to change anything."""
    return self._forms.get_signature(nonce.encode()).decode()

  def is_form_token(self, nonce: str, token: str | None) -> bool:
    return self._forms.verify_signature(
      nonce.encode(), (token or '').encode('utf-8', 'replace')
    )


def load_secret(db: str) -> str:
  """Returns the key that signs cookies, the same after a restart.

  It is taken from the environment, or from a file beside an SQLite database,
  which is made at the first start and which only its owner can read.

  Raises:
    ValueError: There is none, or it is too short.
  """
  given = os.environ.get(SECRET_VARIABLE, '')
  if given:
    if len(given) < _SECRET_BYTES:
      raise ValueError(
        f'{SECRET_VARIABLE} has fewer than {_SECRET_BYTES} '
        'characters; make one with `openssl rand -hex 32`'
      )
    return given
  file = database.file_of(db)
  if file is None:
    raise ValueError(
      f'set {SECRET_VARIABLE} to a random text that all servers '
      'of this database share; `openssl rand -hex 32` makes one'
    )
  return _secret_file(file.with_name(file.name + '.secret'))


def _secret_file(path: pathlib.Path) -> str:
  with contextlib.suppress(FileExistsError):
    # A file that is whole once it has its name: two servers may start at once.
    temporary = path.with_name(f'{path.name}.{secrets.token_hex(4)}')
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
      with os.fdopen(handle, 'w') as file:
        file.write(secrets.token_hex(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
      os.link(temporary, path)
    finally:
      temporary.unlink()
  found = path.read_text().strip()
  if len(found) < _SECRET_BYTES:
    raise ValueError(
      f'{path} holds no secret; remove it to make a new one '
      '(everybody then opens their link again)'
    )
  return found


class Buckets:
  """Token buckets by key: so many at once, so many a second on average.

  For the event loop's thread alone.
  """

  def __init__(self, per_second: float, burst: int):
    self._per_second = per_second
    self._burst = float(burst)
    self._levels: dict[str, tuple[float, float]] = {}  # tokens, when

  def take(self, key: str) -> None:
    """Takes one token.

    Raises:
      RefusedError: The bucket is empty.
    """
    now = time.monotonic()
    level = self._level(key, now)
    if level < 1:
      raise RefusedError(
        429, 'too_fast', 'That was very fast. Please wait a few seconds.'
      )
    if key not in self._levels and len(self._levels) >= _MOST_BUCKETS:
      self._forget(now)
    self._levels[key] = (level - 1, now)

  def _level(self, key: str, now: float) -> float:
    level, when = self._levels.get(key, (self._burst, now))
    return min(self._burst, level + (now - when) * self._per_second)

  def _forget(self, now: float) -> None:
    """Drops buckets that are full again, or all: a flood makes new keys."""
    full = [key for key in self._levels if self._level(key, now) >= self._burst]
    for key in full or list(self._levels):
      del self._levels[key]


class SecurityHeaders:
  """Adds `HEADERS` to every answer, and keeps pages out of caches."""

  def __init__(self, app: ASGIApp):
    self._app = app

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    async def send_more(message: Message) -> None:
      if message['type'] == 'http.response.start':
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
          headers.setdefault(name, value)
        headers.setdefault('cache-control', 'no-store')
      await send(message)

    await self._app(scope, receive, send_more)
