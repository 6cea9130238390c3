"""A server elsewhere that speaks the OpenAI protocol, such as vLLM.

1. Each reply is a request of its own with `stream: true` and a seed of its own,
   `seed + reply`; whether the server draws the same again is up to it.
2. `chat` sends messages; `completions` sends the transcript up to the open
   assistant turn, for models without a chat template.
3. What is not a stream of that protocol is an error that says what it was.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from hh_jax.config.feedback import HTTPConfig
from hh_jax.data.dialogue import (
  ASSISTANT,
  HUMAN,
  MARKERS,
  Dialogue,
  format_transcript,
)
from hh_jax.feedback.policies.protocol import Piece, PolicyError

_CONNECT_SECONDS = 5.0
_MAX_LINE = 1 << 20  # characters of an event
_ROLES = {HUMAN: 'user', ASSISTANT: 'assistant'}
_FINISHES = {'length': 'length'}  # all others are 'stop'


class RemotePolicy:
  """Replies streamed from an HTTP endpoint."""

  can_stream = True

  def __init__(self, config: HTTPConfig):
    self.name = config.name or config.model
    self.share = config.share
    self.spec: Mapping[str, object] = {
      'kind': 'http',
      'model': config.model,
      'revision': config.revision,
      'api': config.api,
      'max_new_tokens': config.max_new_tokens,
      'temperature': config.temperature,
      'top_p': config.top_p,
    }
    self._config = config
    key = os.environ.get(config.key_variable, '')
    self._client = httpx.AsyncClient(
      base_url=config.url.rstrip('/') + '/',
      headers={'Authorization': f'Bearer {key}'} if key else {},
      # Live times silence; here only the connection is timed.
      timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
    )

  async def generate(
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Streams a request for each at once."""
    queue: asyncio.Queue[Piece | Exception] = asyncio.Queue()

    async def ask(reply: int) -> None:
      try:
        async for piece in self._reply(dialogue, reply, seed + reply):
          queue.put_nowait(piece)
      except (PolicyError, httpx.HTTPError, httpx.InvalidURL) as error:
        queue.put_nowait(error)

    tasks = [asyncio.create_task(ask(reply)) for reply in replies]
    running = set(replies)
    try:
      while running:
        item = await queue.get()
        if isinstance(item, Exception):
          reason = str(item) or type(item).__name__
          raise PolicyError(f'{self.name}: {reason}')
        if item.finish:
          running.discard(item.reply)
        yield item
    finally:
      for task in tasks:
        task.cancel()
      await asyncio.gather(*tasks, return_exceptions=True)

  async def _reply(
    self, dialogue: Dialogue, reply: int, seed: int
  ) -> AsyncGenerator[Piece, None]:
    path, body = self._request(dialogue, seed)
    is_first = True
    async with self._client.stream('POST', path, json=body) as response:
      if response.status_code != 200:
        raise PolicyError(f'answered with status {response.status_code}')
      kind = response.headers.get('content-type', '')
      if 'text/event-stream' not in kind:
        raise PolicyError(f'answered with {kind or "no type"}, not a stream')
      async for event in _events(response):
        text, finish = self._read(event)
        if is_first and text:
          text, is_first = text.removeprefix(' '), False
        if text or finish:
          yield Piece(reply, text, finish)
        if finish:
          return
    raise PolicyError('broke off without a finish_reason')

  def _request(
    self, dialogue: Dialogue, seed: int
  ) -> tuple[str, dict[str, object]]:
    config = self._config
    body: dict[str, object] = {
      'model': config.model,
      'max_tokens': config.max_new_tokens,
      'temperature': config.temperature,
      'top_p': config.top_p,
      'seed': seed,
      'stream': True,
      'stop': [MARKERS[HUMAN]],
    }
    if config.api == 'chat':
      body['messages'] = [
        {'role': _ROLES[turn.role], 'content': turn.text}
        for turn in dialogue.turns
      ]
      return 'chat/completions', body
    body['prompt'] = format_transcript(dialogue) + MARKERS[ASSISTANT]
    return 'completions', body

  def _read(self, event: str) -> tuple[str, str]:
    """Text and finish of one event."""
    try:
      choices: list[dict[str, Any]] = json.loads(event)['choices']
      choice = choices[0] if choices else {}
      if self._config.api == 'chat':
        text = choice.get('delta', {}).get('content')
      else:
        text = choice.get('text')
      reason = choice.get('finish_reason')
    except (AttributeError, KeyError, TypeError, ValueError):
      raise PolicyError(f'sent what is no event: {event[:80]!r}') from None
    if not isinstance(text, str | None):
      raise PolicyError(f'sent text that is none: {event[:80]!r}')
    return text or '', _FINISHES.get(reason, 'stop') if reason else ''

  async def close(self) -> None:
    await self._client.aclose()


async def _events(response: httpx.Response) -> AsyncIterator[str]:
  """Yields the data of server-sent events, up to [DONE]."""
  rest = ''
  async for text in response.aiter_text():
    *lines, rest = (rest + text).split('\n')
    if len(rest) > _MAX_LINE:
      raise PolicyError(f'sent a line of more than {_MAX_LINE} characters')
    for line in lines:
      if line.startswith('data:'):
        data = line.removeprefix('data:').strip()
        if data == '[DONE]':
          return
        yield data
