"""Many workers at one server that is killed again and again, and the books.

1. The server runs in a process of its own with canned policies. Workers are
   clients in this process; each writes down what was acknowledged.
2. At random moments the server is killed (SIGKILL) and started again. Clients
   send what was not answered again, under the same key.
3. At the end the books of the workers, the database and the export are compared
   entry by entry: nothing acknowledged may be lost, doubled or changed, nothing
   may be there that nobody sent, and of every exported pair the right reply
   must be the chosen one.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import gzip
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from hh_jax.feedback import (
  database,
  exchanges,
  export,
  people,
  schema,
  tranche,
)
from hh_jax.feedback.client import Client
from hh_jax.stages import tranche_files

ROOT = pathlib.Path(__file__).parents[1]
SECRET = 'a secret of a measurement, long enough'
TRANCHE = 'ledger'
TURNS = 4  # of a conversation [§2.1]
LIMITS = 'requests_per_second=1e6,request_burst=1000000,review_share=0'
FAULTS = (
  'lost',
  'doubled',
  'changed',
  'not_acknowledged',
  'not_exported',
  'exported_unknown',
)

# Side, message, chosen reply, rejected reply, step.
Exported = tuple[str, str, str, str, int]


@dataclasses.dataclass
class Entry:
  """One acknowledged comparison, as its worker saw it."""

  turn: int
  text: str
  replies: dict[str, str]
  step: int
  seconds: float  # of the request that stored it
  task: str

  @property
  def exported(self) -> Exported:
    """What training is to read; in red-team work the picked one is worse."""
    better = exchanges.picked_by(self.step) ^ (self.task == 'red_team')
    chosen, rejected = (
      self.replies[schema.SLOTS[side]] for side in (better, 1 - better)
    )
    side = tranche.SIDES[self.task]
    return side, self.text, chosen, rejected, self.step


class Server:
  """A server process that can be killed and started again."""

  def __init__(self, db: str, log: pathlib.Path, limits: str = LIMITS):
    with socket.create_server(('127.0.0.1', 0)) as probe:
      self._port = probe.getsockname()[1]
    self._db, self._log, self._limits = db, log, limits
    self._process: subprocess.Popen[str] | None = None

  @property
  def url(self) -> str:
    return f'http://127.0.0.1:{self._port}'

  def start(self) -> None:
    """Starts it and waits until it serves."""
    with self._log.open('a') as log:
      self._process = subprocess.Popen(
        [
          *(sys.executable, '-m', 'hh_jax.feedback', f'--db={self._db}'),
          *('--policy=canned:name=one', '--policy=canned:name=two,version=2'),
          *(f'--port={self._port}', f'--set={self._limits}'),
        ],
        cwd=ROOT,
        env={**os.environ, 'HH_JAX_FEEDBACK_SECRET': SECRET},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
      )
    for line in self._process.stdout or ():
      if line.startswith('serving on'):
        return
    raise RuntimeError(f'the server did not start; see {self._log}')

  def kill(self) -> None:
    """Ends it at once, whatever it is doing."""
    if self._process is not None:
      self._process.send_signal(signal.SIGKILL)
      self._process.wait()
      if self._process.stdout is not None:
        self._process.stdout.close()


def make_links(
  db: str, url: str, num_workers: int, num_choices: int
) -> list[str]:
  """Makes a link for every worker."""
  opened = database.open_database(db)
  conversations = -(-num_choices // TURNS)

  def command(connection: Any) -> list[str]:
    return [
      people.invite(
        connection,
        f'worker {number}',
        'red_team' if number % 4 == 3 else 'helpful',
        conversations,
        24.0,
      )
      for number in range(num_workers)
    ]

  tokens = opened.write(command)
  opened.close()
  return [people.link(url, token) for token in tokens]


async def work(
  client: Client,
  number: int,
  num_choices: int,
  think: tuple[float, float],
  book: list[Entry],
) -> None:
  """Makes comparisons and writes down each that was acknowledged."""
  rng = random.Random(number)
  await client.join()
  state = await client.state()
  while len(book) < num_choices and state['phase'] != 'complete':
    conversation = state['conversation']
    if state['phase'] == 'write' and conversation['next'] > TURNS:
      path = f'/api/conversations/{conversation["id"]}/end'
      body = {'kind': 'finished', 'rating': rng.randint(1, 5)}
      state = (await client.send(path, body))['state']
    elif state['phase'] == 'write':
      text = f'Message {len(book)} of worker {number}: {rng.random()}'
      body = {
        'conversation': conversation['number'],
        'turn': conversation['next'],
        'text': text,
      }
      state = (await client.send('/api/turns', body))['state']
    elif state['phase'] == 'wait':
      await client.follow(state['turn']['id'])
      state = await client.state()
    else:
      await asyncio.sleep(rng.uniform(*think))
      turn = state['turn']
      step = rng.randint(1, 8)
      body = {'step': step, 'seconds': 2.0}
      started = time.perf_counter()
      answer = await client.send(f'/api/turns/{turn["id"]}/choice', body)
      seconds = time.perf_counter() - started
      book.append(
        Entry(
          answer['stored']['turn'],
          turn['text'],
          turn['replies'],
          step,
          seconds,
          state['task'],
        )
      )
      state = answer['state']


async def _kill(
  server: Server, num_kills: int, every: float, jobs: asyncio.Future[Any]
) -> int:
  """Kills and starts the server while there is work; returns how often."""
  rng, killed = random.Random(0), 0
  while killed < num_kills and not jobs.done():
    await asyncio.sleep(rng.uniform(0.5, 1.5) * every)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    killed += 1
  return killed


async def run(
  server: Server,
  links: Sequence[str],
  num_choices: int,
  *,
  think: tuple[float, float] = (0.0, 0.0),
  num_kills: int = 0,
  every: float = 1.0,
) -> tuple[list[list[Entry]], int]:
  """Has every worker make comparisons; returns their books and the kills.

  Args:
    server: Already started.
    links: One a worker.
    num_choices: Comparisons of each.
    think: Seconds before a choice, at least and at most.
    num_kills: How often the server is killed, if the work lasts.
    every: Seconds from a start to the next kill, on average.
  """
  books: list[list[Entry]] = [[] for _ in links]
  limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
  async with httpx.AsyncClient(timeout=30.0, limits=limits) as http:
    jobs = asyncio.gather(
      *(
        work(Client(http, link, 300.0), number, num_choices, think, book)
        for number, (link, book) in enumerate(zip(links, books))
      )
    )
    killer = asyncio.create_task(_kill(server, num_kills, every, jobs))
    await jobs
    killed = await killer
  return books, killed


def reconcile(db: str, books: Sequence[Sequence[Entry]]) -> dict[str, int]:
  """Compares the books with the database and the export.

  Returns:
    How many acknowledged comparisons there are, and how many of them were
    lost, doubled or changed; how many nobody acknowledged; and the same for the
    rows of the export.
  """
  opened = database.open_database(db)
  with opened.reading() as connection:
    found = {
      item.turn_id: item
      for item in exchanges.read(connection)
      if item.step is not None
    }
    made = export.build(connection, TRANCHE, 0.1)
  opened.close()
  entries = [entry for book in books for entry in book]
  counts: collections.Counter[str] = collections.Counter()
  counts['acknowledged'] = len(entries)
  counts['doubled'] = len(entries) - len({entry.turn for entry in entries})
  for entry in entries:
    item = found.pop(entry.turn, None)
    if item is None:
      counts['lost'] += 1
    elif not _is_same(entry, item):
      counts['changed'] += 1
  counts['not_acknowledged'] = len(found)
  counts |= _compare_export(made, entries)
  names = ('acknowledged', 'exported', *FAULTS)
  return {name: counts[name] for name in names}


def _is_same(entry: Entry, item: exchanges.Exchange) -> bool:
  texts = [reply.text for reply in item.replies or ()]
  shown = [entry.replies[slot] for slot in schema.SLOTS]
  return (entry.text, shown, entry.step) == (item.text, texts, item.step)


def _compare_export(
  made: dict[str, bytes], entries: Sequence[Entry]
) -> collections.Counter[str]:
  """Rows that should be there, and those that are."""
  expected = collections.Counter(
    entry.exported
    for entry in entries
    if entry.step not in schema.WEAK_STEPS
    and entry.replies['a'] != entry.replies['b']
  )
  there = collections.Counter(_exported(made))
  return collections.Counter(
    exported=there.total(),
    not_exported=(expected - there).total(),
    exported_unknown=(there - expected).total(),
  )


def _exported(made: dict[str, bytes]) -> Iterator[Exported]:
  """Yields the rows of an export, each with the step that its sidecar tells."""
  for side in tranche.SIDES.values():
    for split in tranche_files.SPLITS:
      pairs = _lines(made, f'{side}-{TRANCHE}/{split}.jsonl.gz')
      about = _lines(made, f'sidecar/{side}-{TRANCHE}.{split}.jsonl.gz')
      for pair, beside in zip(pairs, about, strict=True):
        prompt, chosen = pair['chosen'].rsplit('\n\nAssistant: ', 1)
        rejected = pair['rejected'].rsplit('\n\nAssistant: ', 1)[1]
        text = prompt.rsplit('\n\nHuman: ', 1)[1]
        yield side, text, chosen, rejected, beside['step']


def _lines(made: dict[str, bytes], name: str) -> list[dict[str, Any]]:
  lines = gzip.decompress(made[name]).splitlines() if name in made else ()
  return [json.loads(line) for line in lines]
