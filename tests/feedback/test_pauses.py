"""Reports, breaks, second looks, and what researchers hold back."""

import pytest

from hh_jax.config.feedback import CannedConfig
from hh_jax.feedback.policies.canned import CannedPolicy
from tests.feedback.site import Site, running


def test_reports_and_pauses_are_kept(lite):
  ada = lite.worker()
  turn = ada.write().json()['stored']['turn']
  path = f'/api/turns/{turn}/report'
  early = ada.post(path, {'slot': 'c', 'reason': 'Bad.'})
  assert early.json()['error'] == 'no_slot'
  ada.frames(turn)
  body = {'slot': 'b', 'reason': 'Names a real person.'}
  assert ada.post(path, body).status_code == 200
  assert lite.rows('reports')[0]['reason'] == 'Names a real person.'
  found = ada.post('/api/activities', {'kind': 'paused'}).json()
  assert found['state']['activity'] == 'paused'
  found = ada.post('/api/activities', {'kind': 'resumed'}).json()
  assert found['state']['activity'] == 'resumed'
  assert ada.post('/api/activities', {'kind': 'slept'}).status_code == 422


def test_breaks_are_suggested_in_red_team_work(tmp_path):
  with running(str(tmp_path / 'a.db'), break_after=2) as site:
    ada, bob = site.worker('Ada', 'red_team'), site.worker('Bob')
    for person in (ada, bob):
      person.exchange()
      assert not person.state()['is_break_due']
      person.exchange()
    assert ada.state()['is_break_due']
    assert not bob.state()['is_break_due']
    ada.post('/api/activities', {'kind': 'rested'})
    assert not ada.state()['is_break_due']


def test_a_second_look_at_another_workers_comparison(tmp_path):
  with running(str(tmp_path / 'a.db'), review_share=1.0) as site:
    ada, bob = site.worker('Ada'), site.worker('Bob', number=2)
    ada.exchange('How old is the moon?', step=2)
    ada.finish()  # nobody else has done anything: no second look
    assert ada.state()['phase'] == 'write'
    bob.exchange('What is a noun?', step=8)
    bob.finish()
    state = bob.state()
    assert state['phase'] == 'review'
    review = state['review']
    assert review['text'] == 'How old is the moon?'
    assert bob.write('Not now.').status_code == 409
    path = f'/api/reviews/{review["id"]}'
    assert ada.post(path, {'step': 1, 'seconds': 1}).status_code == 404
    found = bob.post(path, {'step': 3, 'seconds': 9})
    assert found.json()['state']['phase'] == 'write'
    assert bob.post(path, {'step': 3, 'seconds': 9}).status_code == 409
    (row,) = site.rows('reviews')
    (reply,) = [
      row['text'] for row in site.rows('replies') if row['slot'] == 'a'
    ][:1]
    shown = review['replies']['b' if row['is_swapped'] else 'a']
    assert shown == reply
    assert site.rows('verdicts')[0]['step'] == 3


def test_a_worker_who_is_held_stores_nothing(lite):
  ada, admin = lite.worker(), lite.admin()
  worker = lite.rows('workers')[0]['id']
  admin.form(f'/admin/workers/{worker}/hold', value='1')
  assert ada.state()['phase'] == 'held'
  found = ada.write()
  assert (found.status_code, found.json()['error']) == (403, 'held')
  admin.form(f'/admin/workers/{worker}/hold', value='0')
  assert ada.write().status_code == 200


def test_a_paused_model_does_not_answer(lite):
  ada, admin = lite.worker(number=30), lite.admin()
  admin.form('/admin/models/1', pause='1')
  for _ in range(8):
    ada.exchange()
    ada.finish()
  assert {row['snapshot_a'] for row in lite.rows('attempts')} == {2}
  admin.form('/admin/models/2', pause='1')
  found = ada.write()
  assert (found.status_code, found.json()['error']) == (503, 'no_model')
  assert lite.count('conversations') == 8
  admin.form('/admin/models/1', pause='0')
  assert ada.write().status_code == 200


def test_two_models_of_one_name_are_refused(tmp_path):
  db = str(tmp_path / 'a.db')
  twice = [CannedPolicy(CannedConfig()), CannedPolicy(CannedConfig(version=2))]
  with pytest.raises(ValueError, match="two policies are called 'canned'"):
    Site(db, twice)
  Site(db, twice[:1])
  with pytest.raises(ValueError, match="another model as 'canned'"):
    Site(db, twice[1:])
