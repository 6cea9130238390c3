"""Turns that were not answered or not stored are asked for again."""

from hh_jax.config.feedback import CannedConfig
from hh_jax.feedback import (
  browse,
  database,
  deployment,
  live,
  work,
)
from hh_jax.feedback.policies.canned import CannedPolicy
from tests.feedback.site import Person, running, texts_after


def test_replies_that_could_not_be_stored_are_asked_for_again(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(live, '_STORE_TRIES', (0.0,))
  db = str(tmp_path / 'a.db')
  with running(db, [CannedPolicy(CannedConfig())]) as site:
    ada = site.worker()
    stored = live._insert

    def full(*_):
      raise database.UnavailableError('database or disk is full')

    monkeypatch.setattr(live, '_insert', full)
    turn = ada.write().json()['stored']['turn']
    first, second = ada.frames(turn), ada.frames(turn)
    assert first[-1] == second[-1] == {'end': 'unstored'}
    assert ada.state()['phase'] == 'wait'
    monkeypatch.setattr(live, '_insert', stored)
    last = ada.frames(turn)
    assert last[-1] == {'end': 'done'}
    assert texts_after(last)[-1] == texts_after(second)[-1]
    assert ada.state()['phase'] == 'choose'


def test_a_turn_that_nobody_can_answer_is_asked_of_who_comes_later(tmp_path):
  bad = CannedPolicy(CannedConfig(name='bad', fault='dead', share=1e-9))
  good = CannedPolicy(CannedConfig(name='good'))
  db = str(tmp_path / 'a.db')
  with running(db, [bad]) as site:
    token = site.token()
    ada = Person(site, token)
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    assert ada.state()['phase'] == 'retry'
  with running(db, [bad, good]) as site:
    ada = Person(site, token)
    assert ada.post(f'/api/turns/{turn}/retry').status_code == 200
    assert ada.frames(turn)[-1] == {'end': 'done'}
    assert [row['number'] for row in site.rows('attempts')] == [1, 2]
    assert 'is dead' in site.admin().get('/admin/models').text


def test_asking_again_takes_another_model(tmp_path):
  bad = CannedPolicy(CannedConfig(name='bad', fault='dead', share=1e5))
  good = CannedPolicy(CannedConfig(name='good', share=1e-5))
  with running(str(tmp_path / 'a.db'), [bad, good]) as site:
    ada = site.worker()
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    found = ada.post(f'/api/turns/{turn}/retry')
    assert found.status_code == 200
    assert ada.frames(turn)[-1] == {'end': 'done'}
    attempts = [
      (row['snapshot_a'], row['snapshot_b']) for row in site.rows('attempts')
    ]
    assert attempts == [(1, 1), (2, 2)]
    assert ada.state()['phase'] == 'choose'
    again = ada.post(f'/api/turns/{turn}/retry')
    assert (again.status_code, again.json()['error']) == (409, 'moved_on')


def test_only_the_model_that_failed_is_blamed(tmp_path, monkeypatch):
  bad = CannedPolicy(CannedConfig(name='bad', fault='dead'))
  good = CannedPolicy(CannedConfig(name='good'))
  weights = {1: 1.0, 2: 1.0}
  mixed = next(n for n in range(99) if deployment.draw(weights, n) == (2, 1))
  monkeypatch.setattr(work.secrets, 'randbits', lambda bits: mixed)
  with running(str(tmp_path / 'a.db'), [bad, good]) as site:
    ada = site.worker()
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    assert [row['slots'] for row in site.rows('failures')] == ['b']
    with site.opened.reading() as connection:
      found = browse.snapshots(connection)
    assert [row['num_failures'] for row in found] == [1, 0]
    assert [bool(row['last_failure']) for row in found] == [True, False]
    assert ada.post(f'/api/turns/{turn}/retry').status_code == 200
    assert ada.frames(turn)[-1] == {'end': 'done'}
    last = site.rows('attempts')[-1]
    assert (last['snapshot_a'], last['snapshot_b']) == (2, 2)


def test_too_many_at_once_are_told_to_wait(tmp_path):
  silent = [CannedPolicy(CannedConfig(fault='silent'))]
  with running(str(tmp_path / 'a.db'), silent, max_live=1) as site:
    ada, bob = site.worker('Ada'), site.worker('Bob')
    assert ada.write().status_code == 200
    found = bob.write()
    assert (found.status_code, found.json()['error']) == (503, 'full')
    assert found.headers['retry-after']
    assert site.count('turns') == 1
