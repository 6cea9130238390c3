import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.training import metrics


def write_steps(folder, first, last, resume_step):
  log = metrics.MetricsLog(folder, resume_step=resume_step, tensorboard=False)
  with log:
    for step in range(first, last + 1):
      log.write(step, {'train/loss': step / 3, 'time/unix': 1.5})
  return metrics.read_metrics(folder)


def test_numbers_read_back_exactly(tmp_path):
  values = {
    'f32': jnp.float32(0.1),
    'bf16': jnp.bfloat16(0.1),
    'host': 1 / 3,
    'int': np.int64(2**53 + 1),
    'flag': jnp.bool_(True),
    'nan': jnp.float32(math.nan),
    'inf': -math.inf,
  }
  row = metrics.to_numbers(values)
  with metrics.MetricsLog(tmp_path, tensorboard=False) as log:
    log.write(1, row)
  line = (tmp_path / 'metrics.jsonl').read_text()
  json.loads(line, parse_constant=lambda name: pytest.fail(f'{name} in JSON'))
  (found,) = metrics.read_metrics(tmp_path / 'metrics.jsonl')
  assert math.isnan(found.pop('nan')) and math.isnan(row.pop('nan'))
  assert found == {'step': 1, **row}
  assert np.float32(found['f32']) == np.float32(0.1)
  assert found['int'] == 2**53 + 1


def test_nested_results_become_numbers_by_path():
  values = {
    'gain': np.array([0.5, 1.0, 1.5]),
    'elo': {'overall': {'rlhf': [1, 2, 3]}},
    'count': 7,
    'met': True,
    'line': 'words',
    'rows': [{'a': 1}, {'a': 2}, {'a': 3}],
    'half': np.float32(0.5),
  }
  assert metrics.flatten(values) == {
    'gain/low': 0.5,
    'gain/mid': 1.0,
    'gain/high': 1.5,
    'elo/overall/rlhf/low': 1,
    'elo/overall/rlhf/mid': 2,
    'elo/overall/rlhf/high': 3,
    'count': 7,
    'half': 0.5,
  }


def test_resume_drops_later_lines_and_a_torn_one(tmp_path):
  write_steps(tmp_path, 1, 7, 0)
  path = tmp_path / 'metrics.jsonl'
  with path.open('ab') as file:
    file.write(b'{"step": 8, "train/lo')
  assert [row['step'] for row in metrics.read_metrics(path)] == [*range(1, 8)]
  rows = write_steps(tmp_path, 6, 9, 5)
  assert [row['step'] for row in rows] == [*range(1, 10)]
  assert all(row['train/loss'] == row['step'] / 3 for row in rows)
  assert not list(tmp_path.glob('*.tmp'))


def test_a_fresh_start_drops_everything(tmp_path):
  write_steps(tmp_path, 1, 3, 0)
  assert len(write_steps(tmp_path, 1, 2, 0)) == 2


def test_lines_that_are_not_the_last_must_be_whole(tmp_path):
  write_steps(tmp_path, 1, 3, 0)
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(path.read_bytes().replace(b'{"step": 2', b'{"step": '))
  with pytest.raises(ValueError, match='metrics.jsonl:2'):
    metrics.read_metrics(path)


def test_missing_lines_are_said_aloud(tmp_path, caplog):
  write_steps(tmp_path, 1, 3, 0)
  assert not caplog.records
  write_steps(tmp_path, 6, 6, 5)
  assert '3 lines for the 5 steps' in caplog.text


def test_time_is_set_aside(tmp_path):
  write_steps(tmp_path, 1, 1, 0)
  (row,) = metrics.read_metrics(tmp_path, with_time=False)
  assert set(row) == {'step', 'train/loss'}
  (row,) = metrics.read_metrics(tmp_path)
  assert row['time/unix'] == 1.5


def test_wrong_metrics_are_refused(tmp_path):
  with pytest.raises(ValueError, match="'train/loss' has shape"):
    metrics.to_numbers({'train/loss': jnp.ones(2)})
  log = metrics.MetricsLog(tmp_path, tensorboard=False)
  with log, pytest.raises(ValueError, match="'step'"):
    log.write(1, {'step': 1.0})


def test_tensorboard_gets_the_same_values(tmp_path):
  with metrics.MetricsLog(tmp_path) as log:
    log.write(1, {'train/loss': 0.25})
    log.sync()
  (events,) = (tmp_path / 'tensorboard').iterdir()
  assert b'train/loss' in events.read_bytes()
