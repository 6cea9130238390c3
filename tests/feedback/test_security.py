"""Who may do what, forged and oversized requests, floods, secrets."""

import stat
import types

import pytest
from starlette.routing import Mount

from hh_jax.feedback import app, database, security
from hh_jax.feedback.refusals import RefusedError
from tests.feedback import site as site_lib
from tests.feedback.site import running

# Every route, and what a stranger, the worker it belongs to, another worker and
# a researcher get. A route without a line here fails the test.
MATRIX = {
  ('GET', '/'): (303, 303, 303, 303),
  ('GET', '/join'): (200, 200, 200, 200),
  ('POST', '/api/join'): (401, 401, 401, 401),  # without a token
  ('GET', '/health'): (200, 200, 200, 200),
  ('POST', '/leave'): (303, 303, 303, 303),
  ('GET', '/instructions'): (303, 200, 200, 403),
  ('GET', '/talk'): (303, 200, 200, 403),
  ('GET', '/api/state'): (401, 200, 200, 403),
  ('POST', '/api/turns'): (401, 422, 422, 403),  # without a text
  ('GET', '/api/turns/{turn}/stream'): (401, 200, 404, 403),
  ('POST', '/api/turns/{turn}/retry'): (401, 409, 404, 403),
  ('POST', '/api/turns/{turn}/report'): (401, 200, 404, 403),
  ('POST', '/api/turns/{turn}/choice'): (401, 200, 404, 403),
  ('POST', '/api/conversations/{conversation}/end'): (401, 200, 404, 403),
  ('POST', '/api/reviews/{review}'): (401, 200, 404, 403),
  ('POST', '/api/activities'): (401, 200, 200, 403),
  ('GET', '/admin'): (303, 403, 403, 200),
  ('GET', '/admin/workers'): (303, 403, 403, 200),
  ('GET', '/admin/workers/{worker}'): (303, 403, 403, 200),
  ('POST', '/admin/workers/{worker}/hold'): (303, 403, 403, 303),
  ('GET', '/admin/models'): (303, 403, 403, 200),
  ('POST', '/admin/models/{model}'): (303, 403, 403, 303),
  ('GET', '/admin/invites'): (303, 403, 403, 200),
  ('POST', '/admin/invites'): (303, 403, 403, 422),  # without names
  ('POST', '/admin/invites/{invite}/revoke'): (303, 403, 403, 303),
  ('GET', '/admin/dialogues'): (303, 403, 403, 200),
  ('GET', '/admin/dialogues/{conversation}'): (303, 403, 403, 200),
  ('POST', '/admin/dialogues/{conversation}/check'): (303, 403, 403, 303),
  ('GET', '/admin/export'): (303, 403, 403, 200),
  ('POST', '/admin/export'): (303, 403, 403, 422),  # without a tranche
}
BODIES = {
  '/api/turns/{turn}/report': {'slot': 'a', 'reason': 'Bad.'},
  '/api/turns/{turn}/choice': {'step': 2, 'seconds': 1},
  '/api/conversations/{conversation}/end': {'kind': 'finished', 'rating': 3},
  '/api/reviews/{review}': {'step': 2, 'seconds': 1},
  '/api/activities': {'kind': 'resumed'},
}


def routes_of(app):
  """Method and path of every route of the router."""
  found = []
  for route in app.routes:
    if isinstance(route, Mount):
      assert route.path == '/static', f'a mount without an entry: {route.path}'
      continue
    path = route.path.replace(':id', '')
    found += [(method, path) for method in route.methods - {'HEAD'}]
  return found


def test_every_route_has_a_line_in_the_matrix(tmp_path):
  with running(str(tmp_path / 'a.db')) as site:
    assert sorted(routes_of(site.app)) == sorted(MATRIX)


def test_everybody_gets_what_the_matrix_says(tmp_path):
  with running(str(tmp_path / 'a.db'), review_share=1.0) as site:
    people = _scene(site)
    ids = {
      'turn': site.rows('turns')[-1]['id'],
      'conversation': site.rows('conversations')[-1]['id'],
      'review': site.rows('reviews')[-1]['id'],
      'worker': 3,
      'model': 1,
      'invite': 4,  # of nobody in the scene
    }
    wrong = []
    for (method, path), expected in MATRIX.items():
      # The owner comes last: what it does cannot be done twice.
      for place in (0, 2, 3, 1):
        person = people[place]
        if path == '/api/reviews/{review}' and place == 1:
          person = people[4]
        found = _ask(person, method, path, ids)
        if found != expected[place]:
          wrong.append((method, path, place, found, expected[place]))
    assert not wrong


def _scene(site):
  """A stranger, an owner, another worker, a researcher, and who reviews.

  The owner's conversation is open and its last turn can be chosen; a second
  look is due to the last one.
  """
  owner, other = site.worker('Owner'), site.worker('Other')
  admin = site.admin()
  site.token('Idle')
  viewer = site.worker('Viewer')
  other.exchange()
  viewer.exchange()
  viewer.finish()
  assert viewer.state()['phase'] == 'review'
  turn = owner.write().json()['stored']['turn']
  owner.frames(turn)
  return site.stranger(), owner, other, admin, viewer


def _ask(person, method, path, ids):
  place = path.format(**ids)
  if path == '/leave':
    session = dict(person.client.cookies)
    found = person.form(place).status_code
    person.client.cookies.update(session)
    return found
  if method == 'GET':
    return person.get(place).status_code
  if path.startswith('/admin'):
    return person.form(place).status_code
  return person.post(place, BODIES.get(path)).status_code


@pytest.fixture
def site(tmp_path):
  with running(str(tmp_path / 'feedback.db')) as made:
    yield made


def test_leaving_ends_the_session_on_this_device(site):
  ada = site.worker()
  assert ada.get('/talk').status_code == 200
  assert ada.client.post('/leave').headers['location'] == '/join'
  assert ada.get('/talk').status_code == 303


def test_a_changed_cookie_is_nobody(site):
  ada = site.worker()
  cookie = ada.client.cookies[security.COOKIE]
  for place in range(0, len(cookie), 7):
    changed = cookie[:place] + ('A' if cookie[place] != 'A' else 'B')
    ada.client.cookies.clear()
    ada.client.cookies.set(security.COOKIE, changed + cookie[place + 1 :])
    found = ada.get('/api/state').status_code
    # The last digit of base 64 may hold bits that mean nothing.
    assert found == 401 or place >= len(cookie) - 1


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(site):
  answer = site.stranger().client.post(
    '/api/join', json={'token': site.token()}
  )
  cookie = answer.headers['set-cookie'].lower()
  assert 'httponly' in cookie and 'samesite=lax' in cookie
  assert 'secure' not in cookie


def test_cookies_are_secure_behind_https(tmp_path):
  made = site_lib.Site(str(tmp_path / 'a.db'))
  made.app = app.make_app(
    made.config,
    database.open_database(str(tmp_path / 'a.db')),
    [],
    site_lib.SECRET,
    'https://feedback.example.org',
  )
  answer = made.stranger().client.post(
    '/api/join', json={'token': made.token()}
  )
  assert '; secure' in answer.headers['set-cookie'].lower()


def test_forged_requests_are_refused(site):
  ada, bob = site.worker('Ada'), site.worker('Bob')
  body = {'conversation': 1, 'turn': 1, 'text': 'Forged.'}
  for headers in (
    {'x-form-token': ''},
    {'x-form-token': 'x' * 27},
    {'x-form-token': bob.headers['x-form-token']},
  ):
    found = ada.post('/api/turns', body, **headers)
    assert (found.status_code, found.json()['error']) == (403, 'no_form_token')
  found = ada.post('/api/turns', body, origin='https://evil.example')
  assert (found.status_code, found.json()['error']) == (403, 'other_origin')
  admin = site.admin()
  found = admin.client.post('/admin/models/1', data={'pause': '1'})
  assert found.status_code == 403
  assert (site.count('turns'), site.count('decisions')) == (0, 0)
  own = ada.post('/api/turns', body, origin='http://testserver')
  assert own.status_code == 200


def test_a_page_of_an_earlier_version_is_told_so(site):
  ada = site.worker()
  body = {'conversation': 1, 'turn': 1, 'text': 'From before the deploy.'}
  found = ada.post('/api/turns', body, **{'x-page-version': 'earlier'})
  assert (found.status_code, found.json()['error']) == (409, 'stale_page')
  assert site.count('turns') == 0


def test_bodies_are_limited(site):
  ada = site.worker()
  found = ada.post('/api/turns', {'text': 'x' * (65 * 1024)})
  assert (found.status_code, found.json()['error']) == (413, 'too_large')
  for content in (b'', b'[]', b'{', b'\xff', b'[' * 5000, b'{"a": NaN'):
    found = ada.client.post(
      '/api/turns',
      content=content,
      headers={**ada.headers, 'idempotency-key': 'some-key'},
    )
    assert found.status_code in (400, 422)


def test_commands_need_a_key(site):
  ada = site.worker()
  body = {'conversation': 1, 'turn': 1, 'text': 'Hello.'}
  for key in (None, 'short', 'x' * 65, 'with space', 'ümlauts-in-it'):
    headers = dict(ada.headers)
    if key is not None:
      headers['idempotency-key'] = key.encode()
    found = ada.client.post('/api/turns', json=body, headers=headers)
    assert (found.status_code, found.json()['error']) == (400, 'no_key')


def test_a_flood_of_one_session_is_slowed(tmp_path):
  limits = {'requests_per_second': 0.01, 'request_burst': 5}
  with running(str(tmp_path / 'a.db'), **limits) as site:
    ada, bob = site.worker('Ada'), site.worker('Bob')
    found = [ada.get('/api/state').status_code for _ in range(7)]
    assert found == [200] * 5 + [429] * 2
    assert bob.get('/api/state').status_code == 200


def test_buckets_fill_again_and_forget(monkeypatch):
  now = [100.0]
  clock = types.SimpleNamespace(monotonic=lambda: now[0])
  monkeypatch.setattr(security, 'time', clock)
  buckets = security.Buckets(per_second=0.5, burst=2)
  for _ in range(2):
    buckets.take('a')
    buckets.take('a')
    with pytest.raises(RefusedError):
      buckets.take('a')
    now[0] += 4.0
  for number in range(20_001):
    buckets.take(str(number))
  assert len(buckets._levels) <= 10_000


def test_the_secret_is_made_once_and_is_the_owners(tmp_path, monkeypatch):
  monkeypatch.delenv(security.SECRET_VARIABLE, raising=False)
  db = str(tmp_path / 'a.db')
  secret = security.load_secret(db)
  assert security.load_secret(db) == secret
  path = tmp_path / 'a.db.secret'
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert [file.name for file in tmp_path.iterdir()] == ['a.db.secret']
  path.write_text('short')
  with pytest.raises(ValueError, match='holds no secret'):
    security.load_secret(db)
  with pytest.raises(ValueError, match='HH_JAX_FEEDBACK_SECRET'):
    security.load_secret('postgresql://host/name')
  monkeypatch.setenv(security.SECRET_VARIABLE, 'x' * 31)
  with pytest.raises(ValueError, match='fewer than 32'):
    security.load_secret(db)
  monkeypatch.setenv(security.SECRET_VARIABLE, 'x' * 32)
  assert security.load_secret(db) == 'x' * 32


def test_pages_load_only_what_is_ours(site):
  ada = site.worker()
  for path in ('/join', '/talk', '/static/work.js', '/nowhere', '/api/state'):
    headers = ada.get(path).headers
    policy = headers['content-security-policy']
    assert "default-src 'none'" in policy
    assert 'unsafe' not in policy
    assert headers['x-content-type-options'] == 'nosniff'
    assert headers['x-frame-options'] == 'DENY'
  for path in ('/join', '/talk', '/instructions'):
    page = ada.get(path).text
    assert 'style=' not in page and '<style' not in page
    assert ' onclick' not in page and '<script>' not in page
    assert '//' not in page.replace('http://www.w3.org', '')
