"""Links let in whom they were made for, as long as they last."""

import json
import logging

import pytest

from hh_jax.feedback import security
from tests.feedback.site import Person, running


@pytest.fixture
def site(tmp_path):
  with running(str(tmp_path / 'feedback.db')) as made:
    yield made


def test_guessing_links_is_slowed_and_joining_is_not(tmp_path):
  with running(str(tmp_path / 'a.db'), failed_joins=3) as site:
    token = site.token()
    for _ in range(5):
      Person(site, token)
    stranger = site.stranger()
    found = [
      stranger.post('/api/join', {'token': f'guess {n}'}).status_code
      for n in range(4)
    ]
    assert found == [401] * 3 + [429]
    # Who has a good link shares the address, perhaps, and is let in.
    assert stranger.post('/api/join', {'token': token}).status_code == 200


@pytest.mark.parametrize('token', ['', 'x', 'é' * 40, None, 7, '\ud800', ['a']])
def test_wrong_tokens_let_nobody_in(site, token):
  found = site.stranger().client.post(
    '/api/join',
    content=json.dumps({'token': token}).encode(),
  )
  assert (found.status_code, found.json()['error']) == (401, 'unknown_link')


def test_links_end(site):
  expired = site.token('Ada', hours=1e-9)
  found = site.stranger().post('/api/join', {'token': expired})
  assert (found.status_code, found.json()['error']) == (401, 'expired_link')
  bob, admin = site.worker('Bob'), site.admin()
  number = next(
    row['id'] for row in site.rows('invites') if row['worker_id'] == 2
  )
  assert bob.get('/api/state').status_code == 200
  assert admin.form(f'/admin/invites/{number}/revoke').status_code == 303
  assert bob.get('/api/state').status_code == 401


def test_links_are_made_once_however_often_the_form_is_sent(site):
  admin = site.admin()
  form = {'task': 'helpful', 'num_conversations': '3', 'days': '1'}
  form |= {'names': 'Ada\nBob', 'key': 'key-of-this-form'}
  assert '/join#' in admin.form('/admin/invites', **form).text
  again = admin.form('/admin/invites', **form)
  assert again.status_code == 409 and '/join#' not in again.text
  assert site.count('workers') == 2
  odd = admin.form('/admin/invites', **form | {'names': 'a\0b', 'key': 'k' * 9})
  assert odd.status_code == 422
  answers = ''.join(row['answer'] for row in site.rows('requests'))
  assert answers == '{"made": 2}'


def test_tokens_are_stored_hashed_and_never_logged(site, caplog, tmp_path):
  caplog.set_level(logging.DEBUG)
  token = site.token()
  ada = Person(site, token)
  ada.exchange()
  cookie = ada.client.cookies[security.COOKIE]
  site.stranger().post('/api/join', {'token': token + 'x'})
  stored = b''.join(path.read_bytes() for path in tmp_path.glob('feedback.db*'))
  for secret in (token, cookie, ada.headers['x-form-token']):
    assert secret.encode() not in stored
    assert secret not in caplog.text


def test_nobody_is_let_in_by_default(site):
  assert site.count('invites') == 0
  assert site.stranger().get('/admin').headers['location'] == '/join'
