"""A server that is killed again and again loses nothing it acknowledged."""

import asyncio
import dataclasses

import pytest

from benchmarks import feedback, ledger
from hh_jax.stages import tranche_files
from tests.feedback.site import running


@pytest.mark.slow
def test_kills_lose_double_and_change_nothing(tmp_path, db):
  server = ledger.Server(db, tmp_path / 'server.log')
  server.start()
  try:
    links = ledger.make_links(db, server.url, 6, 40)
    books, killed = asyncio.run(
      ledger.run(server, links, 40, num_kills=3, every=0.4, think=(0.0, 0.1))
    )
  finally:
    server.kill()
  found = ledger.reconcile(db, books)
  assert killed == 3
  assert [len(book) for book in books] == [40] * 6
  assert found['acknowledged'] == 6 * 40
  for fault in ledger.FAULTS:
    assert found[fault] == 0, (fault, found)
  assert found['exported'] > 0
  assert 'Traceback' not in (tmp_path / 'server.log').read_text()


def test_the_books_notice_what_is_wrong(tmp_path):
  db = str(tmp_path / 'feedback.db')
  with running(db) as site:
    ada = site.worker()
    turns = [ada.exchange(f'Message {n}.', step=2) for n in range(3)]
    replies = {row['attempt_id']: {} for row in site.rows('replies')}
    for row in site.rows('replies'):
      replies[row['attempt_id']][row['slot']] = row['text']
  book = [
    ledger.Entry(turn, f'Message {n}.', shown, 2, 0.0, 'helpful')
    for n, (turn, shown) in enumerate(zip(turns, replies.values(), strict=True))
  ]
  good = ledger.reconcile(db, [book])
  assert (good['acknowledged'], good['exported']) == (3, 3)
  assert sum(good.values()) == 6
  changed = [dataclasses.replace(book[0], text='Other.')]
  found = ledger.reconcile(db, [changed, book[1:], [book[2]]])
  assert found['changed'] == 1
  assert found['doubled'] == 1
  assert found['not_exported'] == 2  # the changed and the doubled one
  assert found['exported_unknown'] == 1
  lost = dataclasses.replace(book[0], turn=999, text='Message 9.')
  found = ledger.reconcile(db, [book[:2], [lost]])
  assert (found['lost'], found['not_acknowledged']) == (1, 1)


def test_the_books_notice_which_reply_was_chosen(tmp_path, monkeypatch):
  db = str(tmp_path / 'feedback.db')
  book = []
  with running(db) as site:
    for task in ('helpful', 'red_team'):
      person = site.worker(task, task)
      turn = person.write(task).json()['stored']['turn']
      person.frames(turn)
      replies = person.state()['turn']['replies']
      body = {'step': 8, 'seconds': 1.0}
      person.post(f'/api/turns/{turn}/choice', body)
      book.append(ledger.Entry(turn, task, replies, 8, 0.0, task))
  good = ledger.reconcile(db, [book])
  assert (good['acknowledged'], good['exported']) == (2, 2)
  assert not any(good[fault] for fault in ledger.FAULTS)
  right = tranche_files.pair
  monkeypatch.setattr(
    tranche_files,
    'pair',
    lambda prompt, *texts: right(prompt, *reversed(texts)),
  )
  found = ledger.reconcile(db, [book])
  assert found['not_exported'] == found['exported_unknown'] == 2


def test_a_row_says_what_it_did_not_reach():
  row = {
    'comparisons': 9,
    'acknowledged': 9,
    'kills': 0,
    'choice_p99': 0.2,
    **dict.fromkeys(ledger.FAULTS, 0),
  }
  assert feedback.not_met(row, 0) == []
  assert feedback.not_met({**row, 'choice_p99': 0.3}, 0) == [
    'choice_p99=0.3 > 0.25'
  ]
  assert feedback.not_met({**row, 'lost': 1, 'kills': 3}, 5) == [
    'lost=1 > 0',
    'kills=3 < 5',
  ]
