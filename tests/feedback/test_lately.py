"""What is expensive is computed once in a while, however many look."""

import itertools
import types
from concurrent import futures

from hh_jax.feedback import lately
from tests.feedback.site import running


def test_values_are_computed_once_in_a_while(monkeypatch):
  now = [100.0]
  clock = types.SimpleNamespace(monotonic=lambda: now[0])
  monkeypatch.setattr(lately, 'time', clock)
  numbers = itertools.count()
  found = lately.Lately(seconds=20.0)

  def look(_=None):
    return found.get(lambda: {'number': next(numbers)})

  with futures.ThreadPoolExecutor(8) as pool:
    assert list(pool.map(look, range(16))) == [{'number': 0}] * 16
  now[0] += 19.0
  assert look() == {'number': 0}
  now[0] += 1.0
  assert look() == {'number': 1}


def test_the_overview_is_some_seconds_old(tmp_path):
  with running(str(tmp_path / 'a.db'), overview_seconds=3600.0) as site:
    admin, ada = site.admin(), site.worker()
    before = admin.get('/admin').text
    ada.exchange()
    assert admin.get('/admin').text == before
