import fcntl
import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from hh_jax.training import workdir

FINGERPRINT = {'stage': 'pm', 'model': {'size': 'nano', 'layers': (1, 2)}}


def test_prepare_records_config_and_versions(tmp_path):
  folder = workdir.prepare(tmp_path / 'run', {'seed': 3}, FINGERPRINT)
  assert json.loads((folder / 'config.json').read_text()) == {'seed': 3}
  record = json.loads((folder / 'run.json').read_text())
  assert record['fingerprint']['model']['size'] == 'nano'
  assert record['versions']['jax']
  assert len(record['versions']['hh_jax_sha256']) == 64


def test_equal_fingerprints_go_on_with_the_new_config(tmp_path):
  workdir.prepare(tmp_path, {'steps': 3}, FINGERPRINT)
  workdir.prepare(tmp_path, {'steps': 5}, FINGERPRINT)
  assert json.loads((tmp_path / 'config.json').read_text()) == {'steps': 5}


def take_a_step(folder):
  (folder / 'metrics.jsonl').write_text('{"step": 1}\n')


def at(commit, monkeypatch):
  """Makes `commit` the code at work."""
  monkeypatch.setattr(workdir.provenance, 'versions', dict)
  monkeypatch.setattr(
    workdir.provenance, 'sources', lambda: {'hh_jax_commit': commit}
  )


def test_a_finished_run_keeps_its_record(tmp_path, monkeypatch):
  at('first', monkeypatch)
  workdir.prepare(tmp_path, {'steps': 3}, FINGERPRINT, total_steps=3)
  workdir.write_done(tmp_path, {'steps': 3})
  before = {path: path.read_bytes() for path in tmp_path.iterdir()}
  at('second', monkeypatch)
  for steps in (3, 2, None):
    workdir.prepare(tmp_path, {'steps': steps}, FINGERPRINT, steps)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_continued_run_says_where_it_started_and_went_on(
  tmp_path, monkeypatch
):
  for commit in ('never trained', 'first', 'second', 'third'):
    at(commit, monkeypatch)
    workdir.prepare(tmp_path, {}, FINGERPRINT)
    if commit != 'never trained':
      take_a_step(tmp_path)
  record = workdir.read_record(tmp_path)
  assert record['versions'] == {'hh_jax_commit': 'first'}
  assert record['continued_at'] == ['second', 'third']


def test_a_run_that_goes_on_beyond_its_end_is_not_done(tmp_path):
  workdir.prepare(tmp_path, {'steps': 3}, FINGERPRINT, total_steps=3)
  workdir.write_done(tmp_path, {'steps': 3})
  workdir.prepare(tmp_path, {'steps': 5}, FINGERPRINT, total_steps=5)
  assert not workdir.is_done(tmp_path)
  assert json.loads((tmp_path / 'config.json').read_text()) == {'steps': 5}


def test_seconds_add_up_over_processes(tmp_path, monkeypatch):
  clock = iter((1000.0, 5000.0, 9000.0, 20_000.0))
  monkeypatch.setattr(workdir.time, 'time', lambda: next(clock))
  metrics = tmp_path / 'metrics.jsonl'
  found = []
  for killed_at in (1030.0, 5008.0):
    workdir.prepare(tmp_path, {}, FINGERPRINT, total_steps=3)
    found.append(workdir.seconds_before(tmp_path))
    take_a_step(tmp_path)
    os.utime(metrics, (killed_at, killed_at))
  workdir.prepare(tmp_path, {}, FINGERPRINT, total_steps=3)
  found.append(workdir.seconds_before(tmp_path))
  workdir.write_done(tmp_path, {'steps': 3, 'seconds': 41.5})
  workdir.prepare(tmp_path, {}, FINGERPRINT, total_steps=5)
  found.append(workdir.seconds_before(tmp_path))
  assert found == [0.0, 30.0, 38.0, 41.5]


def test_a_part_of_a_fingerprint_can_be_checked(tmp_path):
  workdir.check(tmp_path / 'nowhere', {'stage': 'pm'}, is_whole=False)
  workdir.prepare(tmp_path, {}, FINGERPRINT)
  take_a_step(tmp_path)
  workdir.check(tmp_path, {'stage': 'pm'}, is_whole=False)
  with pytest.raises(ValueError, match="stage='pm' saved, 'rlhf' now"):
    workdir.check(tmp_path, {'stage': 'rlhf'}, is_whole=False)
  with pytest.raises(ValueError, match='holds another run: model'):
    workdir.check(tmp_path, {'stage': 'pm'}, is_whole=True)


def test_a_run_that_never_started_gives_its_folder_up(tmp_path):
  """Such as one whose data folder was misspelt."""
  workdir.prepare(tmp_path, {'a': 1}, FINGERPRINT)
  (tmp_path / 'metrics.jsonl').touch()  # opened, but no step was taken
  (tmp_path / 'points').mkdir()
  other = {**FINGERPRINT, 'stage': 'rlhf'}
  workdir.prepare(tmp_path, {'a': 2}, other)
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 2}


@pytest.mark.parametrize(
  'left', ['points/00000000.json', 'fold0/mixture/metrics.jsonl']
)
def test_what_is_measured_or_trained_inside_is_work(
  tmp_path, monkeypatch, left
):
  monkeypatch.setattr(workdir.time, 'time', lambda: 1000.0)
  at('first', monkeypatch)
  workdir.prepare(tmp_path, {'a': 1}, FINGERPRINT)
  (tmp_path / left).parent.mkdir(parents=True)
  (tmp_path / left).write_text('{}')
  os.utime(tmp_path / left, (1030.0, 1030.0))
  with pytest.raises(ValueError, match='holds another run'):
    workdir.prepare(tmp_path, {'a': 2}, {**FINGERPRINT, 'stage': 'rlhf'})
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 1}
  at('second', monkeypatch)
  workdir.prepare(tmp_path, {'a': 1}, FINGERPRINT)
  record = workdir.read_record(tmp_path)
  assert record['versions'] == {'hh_jax_commit': 'first'}
  assert record['seconds_before'] == 30.0


def test_another_run_is_refused_by_name(tmp_path):
  workdir.prepare(tmp_path, {}, FINGERPRINT)
  take_a_step(tmp_path)
  other = {'stage': 'rlhf', 'model': {'size': 'nano3', 'layers': (1, 2)}}
  with pytest.raises(ValueError) as caught:
    workdir.prepare(tmp_path, {'a': 1}, other)
  message = str(caught.value)
  assert "stage='pm' saved, 'rlhf' now" in message
  assert "model.size='nano' saved, 'nano3' now" in message
  assert 'layers' not in message
  assert '--workdir' in message and '\n' not in message
  assert json.loads((tmp_path / 'config.json').read_text()) == {}


def test_a_damaged_record_is_refused(tmp_path):
  workdir.prepare(tmp_path, {}, FINGERPRINT)
  (tmp_path / 'run.json').write_text('{"fingerpr')
  with pytest.raises(ValueError, match=r'run\.json is missing or damaged'):
    workdir.prepare(tmp_path, {}, FINGERPRINT)


def test_done_carries_the_result(tmp_path):
  assert not workdir.is_done(tmp_path)
  assert workdir.read_done(tmp_path) is None
  workdir.write_done(
    tmp_path,
    {'gain': np.float32(0.5), 'at': pathlib.Path('x'), 'ids': np.arange(2)},
  )
  assert workdir.is_done(tmp_path)
  assert workdir.read_done(tmp_path) == {
    'gain': 0.5,
    'at': 'x',
    'ids': [0, 1],
  }
  assert {path.name for path in tmp_path.iterdir()} == {'DONE'}


def test_json_lines(tmp_path):
  path = tmp_path / 'samples' / 'a.jsonl'
  workdir.write_jsonl(path, [{'a': 1}, {'a': np.int32(2)}])
  assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
  with pytest.raises(ValueError, match='cannot be JSON'):
    workdir.write_jsonl(path, [{'a': object()}])
  assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_workdirs_open_without_jax():
  code = (
    'import sys, hh_jax.training.workdir; '
    'sys.exit(any(m in sys.modules for m in ("jax", "orbax")))'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def test_who_asks_whether_a_folder_is_held_is_waited_for(tmp_path, monkeypatch):
  monkeypatch.setattr(workdir, '_LOCK_SECONDS', 60.0)
  workdir.prepare(tmp_path, {}, FINGERPRINT)
  assert workdir.is_held(tmp_path)
  workdir.release(tmp_path)
  assert not workdir.is_held(tmp_path)
  assert not workdir.is_held(tmp_path / 'nowhere')
  asking = (tmp_path / '.lock').open('rb')
  fcntl.flock(asking, fcntl.LOCK_EX)
  timer = threading.Timer(0.5, asking.close)
  timer.start()
  workdir.hold(tmp_path)
  timer.join()
  assert workdir.is_held(tmp_path)
  workdir.release(tmp_path)
