"""A program in the place of a worker's browser.

It speaks the interface that the pages speak: it joins by a link, sends every
command under a key of its own until it is answered, and follows the streams.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

import httpx

RETRY_SECONDS = 0.2
_LONGEST_PAUSE = 4.0  # seconds
_PASSING = (429, 502, 503, 504)  # statuses after which one tries again


class GaveUpError(Exception):
  """The server did not answer for too long, or refused."""


class Client:
  """One worker at one link."""

  def __init__(
    self, http: httpx.AsyncClient, link: str, patience: float = 60.0
  ):
    """Sends nothing yet.

    Args:
      http: Whose connections are used; its cookies are not.
      link: As it was sent to the worker, `BASE/join#TOKEN`.
      patience: Seconds of trying before it gives up.
    """
    base, _, token = link.strip().partition('/join#')
    if not token:
      raise ValueError(f'{link!r} is no link of the form BASE/join#TOKEN')
    self._http = http
    self._base = base
    self._token = token
    self._patience = patience
    self._headers: dict[str, str] = {}

  async def join(self) -> None:
    """Opens the link."""
    response = await self._try('POST', '/api/join', {'token': self._token}, '')
    cookie = response.headers['set-cookie'].partition(';')[0]
    form_token = response.json()['form_token']
    self._headers = {'Cookie': cookie, 'X-Form-Token': form_token}

  async def state(self) -> dict[str, Any]:
    """Where the worker is."""
    return (await self._try('GET', '/api/state', None, '')).json()

  async def send(
    self, path: str, body: dict[str, Any], key: str = ''
  ) -> dict[str, Any]:
    """Sends a command until it is answered.

    Returns:
      What was `stored`, and the `state` after it.

    Raises:
      GaveUpError: It was refused, or not answered for too long.
    """
    key = key or secrets.token_hex(12)
    return (await self._try('POST', path, body, key)).json()

  async def follow(self, turn: int) -> str:
    """Waits until both replies of a turn are there; returns how it ended."""
    started, pause = time.monotonic(), RETRY_SECONDS
    while time.monotonic() < started + self._patience:
      try:
        end = await self._stream(turn)
      except httpx.TransportError:
        end = ''  # the server went away
      if end == 'unstored':  # its database fails: it is asked less and less
        pause = min(2 * pause, _LONGEST_PAUSE)
      elif end:
        return end
      await asyncio.sleep(pause)
    raise GaveUpError(f'turn {turn} was not answered')

  async def _stream(self, turn: int) -> str:
    url = f'{self._base}/api/turns/{turn}/stream'
    async with self._http.stream('GET', url, headers=self._headers) as found:
      if found.status_code in _PASSING:
        return ''
      if found.status_code != 200:
        raise GaveUpError(
          f'the stream of turn {turn}: status {found.status_code}'
        )
      async for line in found.aiter_lines():
        if line.startswith('data: '):
          frame = json.loads(line.removeprefix('data: '))
          if 'end' in frame:
            return frame['end']
    return ''

  async def _try(
    self, method: str, path: str, body: dict[str, Any] | None, key: str
  ) -> httpx.Response:
    headers = {**self._headers, 'Idempotency-Key': key}
    started, reason = time.monotonic(), ''
    while time.monotonic() < started + self._patience:
      try:
        response = await self._http.request(
          method, self._base + path, json=body, headers=headers
        )
      except httpx.TransportError as error:
        reason = repr(error)
      else:
        if response.is_success:
          return response
        reason = f'status {response.status_code}: {response.text[:200]}'
        if response.status_code not in _PASSING:
          break
      await asyncio.sleep(RETRY_SECONDS)
    raise GaveUpError(f'{method} {path}: {reason}')
