"""Requests that come at the same moment, on both databases."""

import functools
import sqlite3
import threading
import time
from concurrent import futures

import pytest

from hh_jax.feedback import database
from tests.feedback.site import Person, running


@pytest.fixture
def site(db):
  with running(db) as made:
    yield made


def at_once(*calls):
  """Calls functions at the same moment; returns what they return."""
  barrier = threading.Barrier(len(calls))

  def run(call):
    barrier.wait(60)
    return call()

  with futures.ThreadPoolExecutor(len(calls)) as pool:
    return list(pool.map(run, calls))


@pytest.mark.parametrize('is_one_key', [True, False])
def test_choices_that_come_at_the_same_moment(site, is_one_key):
  token = site.token()
  tabs = [Person(site, token) for _ in range(8)]
  turn = tabs[0].write().json()['stored']['turn']
  tabs[0].frames(turn)
  path, body = f'/api/turns/{turn}/choice', {'step': 3, 'seconds': 2}
  answers = at_once(
    *(
      functools.partial(
        tab.post, path, body, key='key-of-all' if is_one_key else None
      )
      for tab in tabs
    )
  )
  codes = sorted(answer.status_code for answer in answers)
  assert codes == ([200] * 8 if is_one_key else [200] + [409] * 7)
  stored = [a.json()['stored'] for a in answers if a.status_code == 200]
  assert stored == [{'turn': turn}] * len(stored)
  assert site.count('choices') == 1


def test_messages_that_come_at_the_same_moment(site):
  token = site.token()
  tabs = [Person(site, token) for _ in range(8)]
  body = {'conversation': 1, 'turn': 1, 'text': 'Hello?'}
  answers = at_once(
    *(functools.partial(tab.post, '/api/turns', body) for tab in tabs)
  )
  codes = sorted(answer.status_code for answer in answers)
  assert codes == [200] + [409] * 7
  assert site.count('conversations') == site.count('turns') == 1


def test_readers_do_not_wait_for_writers(tmp_path, monkeypatch):
  monkeypatch.setattr(database, 'LOCK_SECONDS', 60.0)
  path = tmp_path / 'feedback.db'
  with running(str(path)) as site:
    people = [site.worker(f'Worker {number}') for number in range(20)]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute('BEGIN IMMEDIATE')
    body = {'conversation': 1, 'turn': 1, 'text': 'Hello?'}
    with futures.ThreadPoolExecutor(20) as pool:
      sent = [pool.submit(p.post, '/api/turns', body) for p in people]
      # The writer is with the first, which may have taken others along.
      until = time.monotonic() + 30
      while site.opened._threads._work_queue.qsize() < 19:
        assert time.monotonic() < until
        time.sleep(0.01)
      assert people[0].state()['phase'] == 'write'
      assert not any(answer.done() for answer in sent)
      other.execute('ROLLBACK')
      assert {answer.result().status_code for answer in sent} == {200}
    other.close()
    assert site.count('turns') == 20


def test_one_name_is_one_worker_also_at_the_same_moment(site):
  at_once(*[functools.partial(site.token, 'Ada')] * 8)
  assert (site.count('workers'), site.count('invites')) == (1, 8)
