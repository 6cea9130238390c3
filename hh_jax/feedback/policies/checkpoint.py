"""A finished run as a policy, and the best of k of its replies.

Both say what makes their replies again: the hash of the parameters, not where
they lie, and how they are sampled.

Reference: Bai et al. 2022, sections 2.3 (rejection sampling) and 4.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
from collections.abc import AsyncGenerator, Mapping, Sequence

import numpy as np
from starlette.concurrency import run_in_threadpool

from hh_jax.config import SamplingConfig
from hh_jax.config.feedback import BestOfConfig, CheckpointConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback.policies.engine import Engine, Request
from hh_jax.feedback.policies.protocol import Piece, PolicyError
from hh_jax.generation import best_of_k
from hh_jax.stages import loading

VERSION = 2  # of how seeds become replies

log = logging.getLogger(__name__)


def _sampling(config: CheckpointConfig) -> SamplingConfig:
  return SamplingConfig(
    max_new_tokens=config.max_new_tokens,
    temperature=config.temperature,
    top_p=config.top_p,
    max_prompt=config.max_prompt,
    slots=config.slots,
  )


def _name(config: CheckpointConfig) -> str:
  folder = pathlib.Path(config.run).resolve().name
  return f'{folder}-{config.step}' if config.step else folder


def _spec(config: CheckpointConfig, run: loading.Run) -> dict[str, object]:
  return {
    'kind': 'checkpoint',
    'version': VERSION,
    'stage': run.stage,
    'state_sha256': run.state_sha256,
    'tokenizer_sha256': run.tokenizer.sha256,
    'max_new_tokens': config.max_new_tokens,
    'temperature': config.temperature,
    'top_p': config.top_p,
    'max_prompt': config.max_prompt,
  }


class CheckpointPolicy:
  """Replies sampled from a run, streamed as they are decoded."""

  can_stream = True

  def __init__(self, config: CheckpointConfig):
    run = loading.load_run(config.run, config.step)
    if run.has_scores:
      raise ValueError(
        f'run={config.run} holds a {run.stage} model, which gives scores and '
        'no replies; give a pretrain, distill, public or rlhf run'
      )
    self.name = config.name or _name(config)
    self.share = config.share
    self.spec: Mapping[str, object] = _spec(config, run)
    log.info('%s: compiling', self.name)
    self._engine = Engine(run, _sampling(config), (1, 2))

  async def generate(
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Streams what the engine decodes."""
    stream = _stream(self._engine, dialogue, replies, seed)
    async with contextlib.aclosing(stream) as pieces:
      async for piece in pieces:
        yield piece

  async def close(self) -> None:
    await run_in_threadpool(self._engine.close)


class BestOfPolicy:
  """The reply that a preference model scores highest of k."""

  can_stream = False

  def __init__(self, config: BestOfConfig):
    run = loading.load_run(config.run, config.step)
    self._pm = loading.load_run(config.pm)
    if not self._pm.has_scores:
      raise ValueError(
        f'pm={config.pm} holds a {self._pm.stage} model without a score head; '
        'give a pm or pmp run'
      )
    self.name = config.name or f'{_name(config)}-best-of-{config.k}'
    self.share = config.share
    self.spec: Mapping[str, object] = {
      **_spec(config, run),
      'kind': 'best_of',
      'k': config.k,
      'pm_state_sha256': self._pm.state_sha256,
    }
    self._k = config.k
    log.info('%s: compiling', self.name)
    self._engine = Engine(run, _sampling(config), (config.k, 2 * config.k))
    self._pm.score('Hello.', ['Hello.'] * config.k)
    self._scoring = asyncio.Lock()

  async def generate(
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Yields each reply whole."""
    rows = best_of_k.reply_ids(np.asarray(replies), self._k)
    ids = rows.reshape(-1).tolist()
    texts = dict.fromkeys(ids, '')
    ends: dict[int, str] = {}
    stream = _stream(self._engine, dialogue, ids, seed)
    async with contextlib.aclosing(stream) as pieces:
      async for piece in pieces:
        texts[piece.reply] += piece.text
        ends[piece.reply] = piece.finish
    async with self._scoring:
      scores = await run_in_threadpool(
        self._pm.score, dialogue, [texts[number] for number in ids]
      )
    best = best_of_k.best_of(scores.reshape(rows.shape))
    for reply, own, place in zip(replies, rows.tolist(), best):
      number = own[int(place)]
      yield Piece(reply, texts[number], ends[number])

  async def close(self) -> None:
    await run_in_threadpool(self._engine.close)


async def _stream(
  engine: Engine, dialogue: Dialogue, replies: Sequence[int], seed: int
) -> AsyncGenerator[Piece, None]:
  """Yields pieces of all replies until each has ended or nobody reads on."""
  loop = asyncio.get_running_loop()
  queue: asyncio.Queue[Piece | Exception] = asyncio.Queue()

  def put(item: Piece | Exception) -> None:
    if not loop.is_closed():
      loop.call_soon_threadsafe(queue.put_nowait, item)

  prompt = await run_in_threadpool(engine.encode, dialogue)
  request = Request(
    prompt,
    replies,
    seed,
    lambda reply, text, finish: put(Piece(reply, text, finish)),
    put,
  )
  engine.submit(request)
  running = set(replies)
  try:
    while running:
      item = await queue.get()
      if isinstance(item, Exception):
        raise PolicyError(f'decoding broke: {item}')
      if item.finish:
        running.discard(item.reply)
      yield item
  finally:
    request.given_up.set()
