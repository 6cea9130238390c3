"""A server that is killed again and again loses nothing it acknowledged."""

import asyncio

import pytest

from benchmarks import ledger
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
  for fault in (
    'lost',
    'doubled',
    'changed',
    'not_acknowledged',
    'not_exported',
    'exported_unknown',
  ):
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
    ledger.Entry(turn, f'Message {n}.', shown, 2, 0.0)
    for n, (turn, shown) in enumerate(zip(turns, replies.values(), strict=True))
  ]
  good = ledger.reconcile(db, [book])
  assert (good['acknowledged'], good['exported']) == (3, 3)
  assert sum(good.values()) == 6
  changed = [ledger.Entry(turns[0], 'Other.', book[0].replies, 2, 0.0)]
  found = ledger.reconcile(db, [changed, book[1:], [book[2]]])
  assert found['changed'] == 1
  assert found['doubled'] == 1
  assert found['not_exported'] == 2  # the changed and the doubled one
  assert found['exported_unknown'] == 1
  lost = ledger.Entry(999, 'Message 9.', book[0].replies, 2, 0.0)
  found = ledger.reconcile(db, [book[:2], [lost]])
  assert (found['lost'], found['not_acknowledged']) == (1, 1)
