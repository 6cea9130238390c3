"""Result files say how their numbers came about."""

import json

import numpy as np
import pytest

from hh_jax.report import record


def test_a_result_file_has_every_field(tmp_path):
  path = record.write_result(
    tmp_path / 'results' / 'pm.json',
    {'accuracy': np.array([0.6, 0.7, 0.8]), 'pairs': np.int64(40)},
    command='python -m experiments.pm',
    seeds=(0, 1),
    seconds=12.34,
  )
  content = json.loads(path.read_text())
  assert tuple(content) == record.FIELDS
  assert content['values'] == {'accuracy': [0.6, 0.7, 0.8], 'pairs': 40}
  assert content['seeds'] == [0, 1]
  assert content['seconds'] == 12.3
  assert content['versions']['numpy'] == np.__version__
  assert content['hardware']['cores'] >= 1
  assert content['hardware']['devices']
  assert [p.name for p in path.parent.iterdir()] == ['pm.json']


def test_what_is_not_finite_is_refused_by_name():
  with pytest.raises(ValueError, match=r'values\.a\[1\]=nan'):
    record.to_plain({'a': [1.0, float('nan')]})
  with pytest.raises(ValueError, match=r'values\.b is a object'):
    record.to_plain({'b': object()})


def test_describing_a_run_keeps_its_results(tmp_path):
  (tmp_path / 'results.json').write_text('{"world": "lab"}')
  content = json.loads(record.describe_run(tmp_path, 'run it').read_text())
  assert content['world'] == 'lab'
  assert content['command'] == 'run it'
  assert set(content) == {'world', 'command', 'commit', 'hardware', 'versions'}
