"""A real sweep of tiny trials: killed in the middle, run again, collected."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from hh_jax.training import metrics, workdir
from tests import scripts

pytestmark = pytest.mark.slow

DEADLINE = 300
SWEEP = """
from hh_jax.launch.sweep import Stage, Sweep

FEW = {'data.test_fraction': 0.25, 'data.num_examples': 60,
       'eval_comparisons': 8, 'num_comparisons': 16}


def get_sweep(arg):
  return Sweep(
    stages=(
      Stage('pretrain', fixed={
        'num_steps': 24, 'data.row_length': 128, 'data.num_examples': 40,
        'loop.checkpoint_every': 3,
      }),
      Stage('pm', {'init_from': 'pretrain'},
            varied={'harmless_weight': (1.0, 4.0)}, fixed=FEW),
    ),
    sizes=('nano0',),
    seeds=(0, 1),
    arguments={'world': 'lab', 'scale': 'smoke'},
  )
"""


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
  path = tmp_path_factory.mktemp('sweep') / 'mine.py'
  path.write_text(SWEEP)
  return path


def start(sweep, folder, cache, action='run', executor='local:parallel=2'):
  return subprocess.Popen(
    [
      sys.executable,
      '-m',
      'experiments.sweep',
      action,
      f'--sweep={sweep}',
      f'--executor={executor}',
      f'--workdir={folder}',
      f'--config.loop.compilation_cache={cache}',
    ],
    cwd=scripts.ROOT,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(*args, **more):
  child = start(*args, **more)
  printed, said = child.communicate(timeout=DEADLINE)
  return child.returncode, printed, said


def outcomes(folder):
  """What every trial ended with, wall-clock aside."""
  found = {}
  for path in sorted(folder.glob('*/DONE')):
    result = json.loads(path.read_text())
    del result['seconds']
    rows = metrics.read_metrics(path.parent, with_time=False)
    found[path.parent.name] = (result, rows)
  return found


@pytest.fixture(scope='module')
def undisturbed(sweep, cache, tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole')
  code, _, said = finish(sweep, folder, cache)
  assert code == 0, said
  assert '6 trials, 6 to run' in said and '6 done' in said
  return folder


def process_of(folder):
  """The process that works in a folder."""
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      command = path.read_bytes().split(b'\0')
    except OSError:
      continue
    if f'--workdir={folder}'.encode() in command:
      return int(path.parent.name)
  return None


def wait_for(child, condition):
  deadline = time.monotonic() + DEADLINE
  while not condition():
    assert child.poll() is None and time.monotonic() < deadline
    time.sleep(0.005)


def num_lines(folder):
  path = folder / 'metrics.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


def test_a_killed_trial_goes_on_when_the_sweep_is_run_again(
  sweep, cache, undisturbed, tmp_path
):
  folder = tmp_path / 'pretrain-seed=0'
  child = start(sweep, tmp_path, cache)
  wait_for(child, lambda: num_lines(folder) >= 5)
  os.kill(process_of(folder), signal.SIGKILL)
  _, said = child.communicate(timeout=DEADLINE)
  assert child.returncode == 1, said
  assert 'pretrain-seed=0: signal 9' in said
  assert said.splitlines()[-1].endswith('1 stopped, 3 done, 2 left out')
  before = outcomes(tmp_path)
  assert len(before) == 3

  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0, said
  assert '6 trials, 3 to run' in said
  assert outcomes(tmp_path) == outcomes(undisturbed)
  assert (
    'resumed after step'
    in (tmp_path / 'logs' / 'pretrain-seed=0.log').read_text()
  )
  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0 and '6 trials, 0 to run' in said


def test_a_stopped_sweep_saves_and_goes_on(sweep, cache, undisturbed, tmp_path):
  folder = tmp_path / 'pretrain-seed=0'
  child = start(sweep, tmp_path, cache)
  wait_for(child, lambda: num_lines(folder) >= 5)
  child.send_signal(signal.SIGTERM)
  _, said = child.communicate(timeout=DEADLINE)
  assert child.returncode == 75, said
  assert 'exit code 75: pretrain: stopped after step' in said
  assert 'not started' in said.splitlines()[-1]
  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0, said
  assert outcomes(tmp_path) == outcomes(undisturbed)


def test_a_trial_goes_on_without_its_launcher_and_is_waited_for(
  sweep, cache, undisturbed, tmp_path
):
  folder = tmp_path / 'pretrain-seed=0'
  child = start(sweep, tmp_path, cache)
  wait_for(child, lambda: num_lines(folder) >= 2)
  child.kill()
  child.communicate()
  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0, said
  assert 'another process works on it; waiting' in said
  assert outcomes(tmp_path) == outcomes(undisturbed)


def test_status_and_results(sweep, cache, undisturbed):
  code, printed, _ = finish(sweep, undisturbed, cache, 'status', 'print')
  assert code == 0
  assert printed.count('| done |') == 6
  code, printed, said = finish(sweep, undisturbed, cache, 'collect', 'print')
  assert code == 0, said
  assert printed.startswith('6 of 6 trials are done')
  text = (undisturbed / 'sweep.csv').read_text().splitlines()
  (row,) = [
    row
    for row in csv.DictReader(text)
    if row['stage'] == 'pretrain' and row['name'] == 'loss'
  ]
  losses = [
    workdir.read_result(undisturbed / f'pretrain-seed={seed}')['loss']
    for seed in (0, 1)
  ]
  assert list(map(float, row['values'].split())) == losses
  assert float(row['mid']) == pytest.approx(sum(losses) / 2)
  assert float(row['low']) < float(row['mid']) < float(row['high'])
  page = (undisturbed / 'report.html').read_text()
  assert 'pm-harmless_weight=4.0-seed=1' in page and '<figure>' in page
