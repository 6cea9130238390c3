"""The application in this process, and people who use it."""

import contextlib
import json
import secrets
import socket
import threading
import time

import sqlalchemy as sa
import uvicorn
from starlette.testclient import TestClient

from hh_jax.config.feedback import CannedConfig, FeedbackConfig
from hh_jax.feedback import app, database, people, schema
from hh_jax.feedback.policies.canned import CannedPolicy

SECRET = 'a secret of the tests, long enough'
QUICK = {
  'requests_per_second': 10_000.0,
  'request_burst': 10_000,
  'review_share': 0.0,
  'overview_seconds': 0.0,
}


class Site:
  """A running application."""

  def __init__(self, db, policies=None, **limits):
    self.opened = database.open_database(db)
    self.config = FeedbackConfig(**{**QUICK, **limits})
    if policies is None:
      policies = [
        CannedPolicy(CannedConfig(name='one', version=1)),
        CannedPolicy(CannedConfig(name='two', version=2)),
      ]
    self.app = app.make_app(self.config, self.opened, policies, SECRET)
    self._client = TestClient(self.app)
    self.is_strict = True  # an exception of a handler is one of the test

  def __enter__(self):
    self._client.__enter__()
    return self

  def __exit__(self, *error):
    self._client.__exit__(*error)

  def new_client(self):
    """A browser without cookies."""
    client = TestClient(
      self.app, raise_server_exceptions=self.is_strict, follow_redirects=False
    )
    # One application, one lifetime: the site's portal serves everybody.
    client.portal = self._client.portal
    return client

  def token(self, name='Ada', task='helpful', number=3, hours=24.0):
    return self.opened.write(
      lambda connection: people.invite(connection, name, task, number, hours)
    )

  def worker(self, name='Ada', task='helpful', number=3):
    return Person(self, self.token(name, task, number))

  def admin(self):
    return Person(self, self.token('', people.ADMIN, 0))

  def stranger(self):
    return Person(self, None)

  def rows(self, table):
    with self.opened.reading() as connection:
      found = connection.execute(sa.select(getattr(schema, table)))
      return found.mappings().all()

  def count(self, table):
    return len(self.rows(table))


class Person:
  """A browser: cookies and the token of the forms."""

  def __init__(self, site, token):
    self.site = site
    self.client = site.new_client()
    self.headers = {}
    if token is not None:
      answer = self.client.post('/api/join', json={'token': token})
      assert answer.status_code == 200, answer.text
      self.headers = {'x-form-token': answer.json()['form_token']}

  def get(self, path, **more):
    return self.client.get(path, **more)

  def post(self, path, body=None, key=None, **headers):
    """A command of the page."""
    return self.client.post(
      path,
      json={} if body is None else body,
      headers={
        **self.headers,
        'idempotency-key': key or secrets.token_hex(8),
        **headers,
      },
    )

  def form(self, path, **fields):
    """A form of the researcher's pages."""
    token = self.headers.get('x-form-token', '')
    return self.client.post(path, data={'form_token': token, **fields})

  def state(self):
    answer = self.get('/api/state')
    assert answer.status_code == 200, answer.text
    return answer.json()

  def write(self, text='How do I boil an egg?', **more):
    """Sends a message for the place where the conversation stands."""
    place = self.state()['conversation']
    body = {'conversation': place['number'], 'turn': place['next']}
    return self.post('/api/turns', {**body, 'text': text}, **more)

  def frames(self, turn):
    """What a stream says, to its end."""
    text = self.get(f'/api/turns/{turn}/stream').text
    return [
      json.loads(line.removeprefix('data: '))
      for line in text.splitlines()
      if line.startswith('data: ')
    ]

  def exchange(self, text='How do I boil an egg?', step=2, **choice):
    """Writes, waits and chooses; returns the turn."""
    answer = self.write(text)
    assert answer.status_code == 200, answer.text
    turn = answer.json()['stored']['turn']
    assert self.frames(turn)[-1] == {'end': 'done'}
    body = {'step': step, 'seconds': 4.5, **choice}
    answer = self.post(f'/api/turns/{turn}/choice', body)
    assert answer.status_code == 200, answer.text
    return turn

  def finish(self, rating=4, comment='', kind='finished'):
    conversation = self.state()['conversation']['id']
    body = {'kind': kind, 'rating': rating, 'comment': comment}
    answer = self.post(f'/api/conversations/{conversation}/end', body)
    assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def running(db, policies=None, **limits):
  with Site(db, policies, **limits) as site:
    yield site


@contextlib.contextmanager
def listening(app):
  """Serves an application on a free port; yields its address."""
  with socket.create_server(('127.0.0.1', 0)) as listener:
    server = uvicorn.Server(
      uvicorn.Config(app, log_level='critical', timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(
      target=server.run, args=([listener],), daemon=True
    )
    thread.start()
    ends = time.monotonic() + 60
    while not server.started:
      assert thread.is_alive() and time.monotonic() < ends, 'it does not serve'
      time.sleep(0.01)
    try:
      yield f'http://127.0.0.1:{listener.getsockname()[1]}'
    finally:
      server.should_exit = True
      thread.join()


def texts_after(frames):
  """Both texts as a page would show them, after each frame."""
  a = b = ''
  found = []
  for frame in frames:
    if 'from' in frame:
      if frame['from'] == 0:
        a = b = ''
      a, b = a + frame['a'], b + frame['b']
      found.append((a, b))
  return found
