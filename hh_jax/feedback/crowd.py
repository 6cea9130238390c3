"""The lab's workers at the real interface: the whole loop without people.

  python -m hh_jax.feedback.crowd --links=FILE --seed=0

1. FILE holds one link a line. Link i is opened by worker i of the lab's crowd,
   with that worker's biases and noise.
2. Messages are those of the lab's humans, helpful or red-team as the link's
   task is; choices follow the gold judge and the crowd's choice model, and in
   red-team work the more harmful reply is picked.
3. What is asked and how it is chosen depends on the seed, the link, the
   conversation, the turn and the replies alone: killed and started again, a
   crowd goes on as if nothing had happened.

Reference: Bai et al. 2022, section 2; hh_jax/lab/crowd.py.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import sys
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from hh_jax.data.dialogue import ASSISTANT, HUMAN, Dialogue, Turn
from hh_jax.feedback import schema
from hh_jax.feedback.client import Client, GaveUpError
from hh_jax.feedback.tranche import SIDES
from hh_jax.lab import crowd, draws, judge, people

_CONVERSATIONS = 1 << 20  # more than a link has; numbers them across links
_MOST_RETRIES = 5


class SimulatedWorker:
  """One member of the lab's crowd at one link."""

  def __init__(self, client: Client, index: int, seed: int, think: float = 0.0):
    self._client = client
    self._worker = crowd.WORKERS[index % len(crowd.WORKERS)]
    self._index = index
    self._seed = seed
    self._think = think  # seconds before each choice, on average

  async def work(self) -> int:
    """Does all conversations of the link; returns the number of choices."""
    await self._client.join()
    state = await self._client.state()
    num_choices = num_retries = 0
    while state['phase'] != 'complete':
      phase = state['phase']
      if phase == 'write':
        state = await self._write(state)
      elif phase == 'wait':
        await self._client.follow(state['turn']['id'])
        state = await self._client.state()
      elif phase == 'choose':
        state = await self._choose(state)
        num_choices, num_retries = num_choices + 1, 0
      elif phase == 'review':
        state = await self._review(state)
      elif phase == 'retry' and num_retries < _MOST_RETRIES:
        path = f'/api/turns/{state["turn"]["id"]}/retry'
        state = (await self._client.send(path, {}))['state']
        num_retries += 1
      else:
        raise GaveUpError(f'worker {self._index} is stuck in phase {phase!r}')
    return num_choices

  def _stream(self, purpose: str, number: int) -> np.random.Generator:
    place = self._index * _CONVERSATIONS + number
    return draws.stream(self._seed, f'feedback/{purpose}', place)

  def _messages(self, state: Mapping[str, Any]) -> list[str]:
    """All human turns of the conversation that is open or next."""
    number = state['conversation']['number']
    rng = self._stream('messages', number)
    most = state['conversation']['most']
    return people.messages(rng, SIDES[state['task']], most)

  async def _write(self, state: Mapping[str, Any]) -> dict[str, Any]:
    conversation = state['conversation']
    messages, place = self._messages(state), conversation['next']
    if place > len(messages):
      path = f'/api/conversations/{conversation["id"]}/end'
      ending = {'kind': 'finished', 'rating': self._rating(state)}
      return (await self._client.send(path, ending))['state']
    message = {
      'conversation': conversation['number'],
      'turn': place,
      'text': messages[place - 1],
    }
    return (await self._client.send('/api/turns', message))['state']

  def _rating(self, state: Mapping[str, Any]) -> int:
    """From 1 to 5: how good the picked replies are on average."""
    turns = state['conversation']['turns']
    values = [
      judge.utility(
        _dialogue(turns[:place], turn['text']),
        turn['answer'],
        SIDES[state['task']],
      )
      for place, turn in enumerate(turns)
    ]
    return int(np.clip(round(3 + float(np.mean(values))), 1, 5))

  async def _choose(self, state: Mapping[str, Any]) -> dict[str, Any]:
    turn = state['turn']
    prompt = _dialogue(state['conversation']['turns'], turn['text'])
    step, seconds = await self._judge(state, prompt, turn['replies'], 'choice')
    path = f'/api/turns/{turn["id"]}/choice'
    body = {'step': step, 'seconds': seconds}
    return (await self._client.send(path, body))['state']

  async def _review(self, state: Mapping[str, Any]) -> dict[str, Any]:
    review = state['review']
    prompt = _dialogue(review['turns'], review['text'])
    step, seconds = await self._judge(
      state, prompt, review['replies'], 'review'
    )
    path = f'/api/reviews/{review["id"]}'
    body = {'step': step, 'seconds': seconds}
    return (await self._client.send(path, body))['state']

  async def _judge(
    self,
    state: Mapping[str, Any],
    prompt: Dialogue,
    replies: Mapping[str, str],
    purpose: str,
  ) -> tuple[int, float]:
    """The step of the scale, and how long it took to choose it."""
    first, second = (replies[slot] for slot in schema.SLOTS)
    texts = '\0'.join((*(t.text for t in prompt.turns), first, second))
    rng = self._stream(
      f'{purpose}/{zlib.crc32(texts.encode())}', state['conversation']['number']
    )
    side = SIDES[state['task']]
    choice = crowd.choose(self._worker, prompt, first, second, side, rng)
    step = choice.strength
    if state['task'] == 'red_team':
      step = schema.NUM_STEPS + 1 - step
    seconds = float(self._think * (0.5 + rng.random()))
    await asyncio.sleep(seconds)
    return step, seconds


def _dialogue(turns: Sequence[Mapping[str, Any]], text: str) -> Dialogue:
  said = []
  for turn in turns:
    said += [Turn(HUMAN, turn['text']), Turn(ASSISTANT, turn['answer'])]
  return Dialogue((*said, Turn(HUMAN, text)))


async def run(
  links: Sequence[str], seed: int, think: float = 0.0, patience: float = 60.0
) -> int:
  """Has all links worked through side by side; returns the choices made.

  Raises:
    ValueError: A link is none, or a worker gave up.
  """
  limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
  async with httpx.AsyncClient(timeout=patience, limits=limits) as http:
    workers = [
      SimulatedWorker(Client(http, link, patience), index, seed, think)
      for index, link in enumerate(links)
    ]
    try:
      made = await asyncio.gather(*(worker.work() for worker in workers))
    except GaveUpError as error:
      raise ValueError(str(error)) from None
  return sum(made)


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.feedback.crowd', description=__doc__.splitlines()[0]
  )
  parser.add_argument('--links', required=True, help='file of links')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--think', type=float, default=0.0, help='seconds for a choice'
  )
  flags = parser.parse_args(argv)
  try:
    lines = pathlib.Path(flags.links).read_text().split()
    links = [line for line in lines if '/join#' in line]
    if not links:
      raise ValueError(f'--links={flags.links} holds no link')
    made = asyncio.run(run(links, flags.seed, flags.think))
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{made} choices by {len(links)} workers')
  return 0


if __name__ == '__main__':
  sys.exit(main())
