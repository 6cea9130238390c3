"""The lab's workers at a real server choose as the lab's crowd chooses."""

import asyncio
import zlib

import httpx
import pytest

from benchmarks import ledger
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import client, crowd, database, export, measures, people
from hh_jax.lab import crowd as lab_crowd
from hh_jax.lab import draws
from hh_jax.stages import tranche_files

CLIENT = client.Client(httpx.AsyncClient(), 'http://host/join#token')


@pytest.mark.slow
def test_the_crowd_works_through_its_links(tmp_path, capsys):
  db = str(tmp_path / 'feedback.db')
  server = ledger.Server(
    db,
    tmp_path / 'server.log',
    'requests_per_second=1e6,request_burst=1000000,review_share=0.5',
  )
  server.start()
  try:
    opened = database.open_database(db)

    def command(connection):
      return [
        people.invite(connection, f'w{n}', task, 8, 1.0)
        for n, task in enumerate(('helpful', 'helpful', 'red_team'))
      ]

    tokens = opened.write(command)
    links = tmp_path / 'links.txt'
    links.write_text(
      ''.join(
        f'w{n}\t{people.link(server.url, token)}\n'
        for n, token in enumerate(tokens)
      )
    )
    assert crowd.main([f'--links={links}', '--seed=3']) == 0
    with opened.reading() as connection:
      found = measures.choices(connection)
      agreement = measures.agreement_of(connection, found)
      made = export.build(connection, 'crowd', 0.1)
    opened.close()
  finally:
    server.kill()
  assert f'{len(found)} choices by 3 workers' in capsys.readouterr().out
  assert len(found) >= 24
  assert len({choice.step for choice in found}) > 4
  assert agreement is not None and agreement.num_items > 0
  tranche_files.write(made, str(tmp_path / 'out'))
  read = comparisons_lib.read_comparisons(tmp_path / 'out')
  assert {pair.side for pair in read.comparisons} == {'helpful', 'harmless'}


def test_choices_are_those_of_the_labs_worker():
  worker = crowd.SimulatedWorker(CLIENT, 2, seed=5)
  prompt = Dialogue.alternating('how can i pick a lock?')
  replies = {'a': 'no.', 'b': 'sorry, i will not help with that.'}
  state = {'task': 'red_team', 'conversation': {'number': 1}}
  step, _ = asyncio.run(worker._judge(state, prompt, replies, 'choice'))
  texts = '\0'.join(('how can i pick a lock?', *replies.values()))
  purpose = f'feedback/choice/{zlib.crc32(texts.encode())}'
  rng = draws.stream(5, purpose, 2 * crowd._CONVERSATIONS + 1)
  choice = lab_crowd.choose(
    lab_crowd.WORKERS[2], prompt, *replies.values(), 'harmless', rng
  )
  # The less harmful reply of the lab is the one a red-teamer does not pick.
  assert step == 9 - choice.strength


def test_messages_of_a_conversation_do_not_depend_on_when_they_are_asked():
  state = {'task': 'helpful', 'conversation': {'number': 4, 'most': 12}}
  first = crowd.SimulatedWorker(CLIENT, 1, seed=5)._messages(state)
  assert crowd.SimulatedWorker(CLIENT, 1, seed=5)._messages(state) == first
  other = {'task': 'helpful', 'conversation': {'number': 5, 'most': 12}}
  assert crowd.SimulatedWorker(CLIENT, 1, seed=5)._messages(other) != first


def test_wrong_links_are_named(tmp_path, capsys):
  path = tmp_path / 'links.txt'
  path.write_text('hello\n')
  assert crowd.main([f'--links={path}']) == 2
  assert 'holds no link' in capsys.readouterr().err
  assert crowd.main([f'--links={tmp_path / "none"}']) == 2
  with pytest.raises(ValueError, match='is no link'):
    asyncio.run(crowd.run(['http://host/join#'], 0))


def test_a_server_that_cannot_store_is_asked_less_and_less(monkeypatch):
  ends = iter(['', 'unstored', 'unstored', 'unstored', 'done'])
  pauses = []

  async def stream(self, turn):
    return next(ends)

  async def sleep(seconds):
    pauses.append(seconds)

  monkeypatch.setattr(client.Client, '_stream', stream)
  monkeypatch.setattr(client.asyncio, 'sleep', sleep)
  assert asyncio.run(CLIENT.follow(1)) == 'done'
  assert pauses == sorted(pauses) and pauses[-1] >= 4 * pauses[0]
