"""Requests made at random: nothing is answered with 5xx."""

import json
import os

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.feedback import conftest
from tests.feedback.site import running
from tests.feedback.test_security import MATRIX

MANY = int(os.environ.get('HH_JAX_FUZZ', '1500'))  # requests; long runs: 10,000

_WORDS = st.sampled_from(
  'conversation turn text step seconds edit kind rating comment slot reason '
  'token names task num_conversations days share pause verdict value tranche '
  'test_fraction form_token key'.split()
)
_TEXTS = st.one_of(
  st.text(max_size=40),
  st.sampled_from(
    [
      'a',
      'finished',
      'skipped',
      'paused',
      'helpful',
      'online',
      'fuzz-key-2',
      '1',
      '-1',
      '1e400',
      'nan',
      '\0',
      '\ud800',
      '\n\nHuman: x',
      "'; DROP TABLE turns; --",
      '<script>alert(1)</script>',
      '%' * 40,
      'x' * 5000,
    ]
  ),
)
_NUMBERS = st.one_of(
  st.integers(-2, 12),
  st.sampled_from([2**31 - 1, 2**31, 2**63, 10**30, -(2**63)]),
  st.floats(allow_nan=True),
)
_VALUES = st.recursive(
  st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
  lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=2)
  ),
  max_leaves=4,
)
_BODIES = st.one_of(
  st.dictionaries(_WORDS, _VALUES, max_size=5).map(
    lambda value: json.dumps(value).encode()
  ),
  st.binary(max_size=60),
  st.dictionaries(_WORDS, _TEXTS, max_size=4).map(
    lambda form: '&'.join(f'{k}={v}' for k, v in form.items()).encode(
      'utf-8', 'replace'
    )
  ),
)
_IDS = st.one_of(
  st.integers(0, 4).map(str),
  st.sampled_from(
    ['9' * 10, '9' * 30, '2147483648', '-1', 'x', '%00', '%2e%2e']
  ),
)
_QUERIES = st.dictionaries(
  st.sampled_from(['q', 'before']),
  _TEXTS.filter(lambda t: t.isprintable()),
  max_size=2,
)


@pytest.fixture(scope='module', params=['sqlite', 'postgresql'])
def people(request, tmp_path_factory):
  if request.param == 'sqlite':
    db = str(tmp_path_factory.mktemp('fuzz') / 'a.db')
  else:
    db = conftest.new_database(request.getfixturevalue('postgresql'))
  with running(db, review_share=0.5, failed_joins=10_000) as site:
    ada, bob = site.worker('Ada', number=999), site.worker('Bob', 'red_team')
    ada.exchange()
    bob.exchange()
    yield site.stranger(), ada, bob, site.admin()


@pytest.mark.slow
@hypothesis.settings(
  max_examples=MANY,
  deadline=None,
  suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(data=st.data())
def test_no_request_is_answered_with_5xx(people, data):
  person = data.draw(st.sampled_from(people))
  # Not what ends the session or the link of those who ask.
  routes = [r for r in MATRIX if r[1] != '/leave' and 'revoke' not in r[1]]
  method, path = data.draw(st.sampled_from(sorted(routes)))
  for name in ('turn', 'conversation', 'review', 'worker', 'model', 'invite'):
    path = path.replace(f'{{{name}}}', data.draw(_IDS))
  if method == 'GET':
    found = person.get(path, params=data.draw(_QUERIES))
  else:
    headers = {
      **person.headers,
      'idempotency-key': data.draw(st.sampled_from(['', 'k' * 8, 'fuzz-key-1']))
      or os.urandom(8).hex(),
    }
    if path.startswith('/admin') and data.draw(st.booleans()):
      headers['content-type'] = 'application/x-www-form-urlencoded'
    found = person.client.post(
      path, content=data.draw(_BODIES), headers=headers
    )
  busy = found.status_code == 503 and found.json()['error'] == 'no_model'
  assert found.status_code < 500 or busy, (method, path, found.text[:300])
