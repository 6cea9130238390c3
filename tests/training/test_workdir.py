import json
import pathlib
import subprocess
import sys

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


def test_a_run_that_never_started_gives_its_folder_up(tmp_path):
  """Such as one whose data folder was misspelt."""
  workdir.prepare(tmp_path, {'a': 1}, FINGERPRINT)
  other = {**FINGERPRINT, 'stage': 'rlhf'}
  workdir.prepare(tmp_path, {'a': 2}, other)
  assert json.loads((tmp_path / 'config.json').read_text()) == {'a': 2}


def test_another_run_is_refused_by_name(tmp_path):
  workdir.prepare(tmp_path, {}, FINGERPRINT)
  (tmp_path / 'metrics.jsonl').write_text('')  # it took a step
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
