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
        'num_steps': 40, 'data.row_length': 128, 'data.num_examples': 40,
        'loop.checkpoint_every': 3,
      }),
      Stage('pm', {'init_from': 'pretrain'},
            varied={'harmless_weight': (1.0, 4.0)}, fixed=FEW),
    ),
    sizes=('nano0',),
    arguments={'world': 'lab', 'scale': 'smoke'},
  )
"""


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
  path = tmp_path_factory.mktemp('sweep') / 'mine.py'
  path.write_text(SWEEP)
  return path


def start(
  sweep, folder, cache, action='run', executor='local:parallel=2', flags=()
):
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
      *flags,
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
  assert '3 trials, 3 to run' in said and '3 done' in said
  return folder


def process_of(folder, *flags):
  """The process that works in a folder, the one with these flags."""
  wanted = {f'--workdir={folder}'.encode(), *(f.encode() for f in flags)}
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      command = path.read_bytes().split(b'\0')
    except OSError:
      continue
    if wanted <= set(command):
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


def test_whatever_is_killed_the_sweep_goes_on(
  sweep, cache, undisturbed, tmp_path
):
  folder = tmp_path / 'pretrain'
  log = tmp_path / 'logs' / 'pretrain.log'
  child = start(sweep, tmp_path, cache)
  wait_for(child, lambda: num_lines(folder) >= 4)
  child.send_signal(signal.SIGTERM)  # the launcher passes it on
  _, said = child.communicate(timeout=DEADLINE)
  assert child.returncode == 75, said
  assert 'exit code 75: pretrain: stopped after step' in said
  assert said.splitlines()[-1].endswith('1 stopped, 2 not started')

  child = start(sweep, tmp_path, cache)
  done = num_lines(folder)
  wait_for(child, lambda: num_lines(folder) >= done + 4)
  os.kill(process_of(folder), signal.SIGKILL)  # the trial
  _, said = child.communicate(timeout=DEADLINE)
  assert child.returncode == 1, said
  assert 'pretrain: signal 9' in said
  assert said.splitlines()[-1].endswith('1 stopped, 2 left out')

  child = start(sweep, tmp_path, cache)
  done = num_lines(folder)
  wait_for(child, lambda: num_lines(folder) >= done + 4)
  child.kill()  # the launcher; its trial goes on alone
  child.communicate()
  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0, said
  assert 'pretrain: another process works on it; waiting' in said
  assert said.splitlines()[-1].endswith('3 done')

  assert log.read_text().count('resumed after step') == 2
  assert outcomes(tmp_path) == outcomes(undisturbed)
  code, _, said = finish(sweep, tmp_path, cache)
  assert code == 0 and '3 trials, 0 to run' in said


def test_status_and_results(sweep, cache, undisturbed):
  code, printed, _ = finish(sweep, undisturbed, cache, 'status', 'print')
  assert code == 0
  assert printed.count('| done |') == 3
  code, printed, said = finish(sweep, undisturbed, cache, 'collect', 'print')
  assert code == 0, said
  assert printed.startswith('3 of 3 trials are done')
  rows = csv.DictReader((undisturbed / 'sweep.csv').read_text().splitlines())
  found = {
    row['harmless_weight']: float(row['mid'])
    for row in rows
    if row['name'] == 'accuracy.helpful'
  }
  trained = [
    undisturbed / f'pm-harmless_weight={weight}' for weight in ('1.0', '4.0')
  ]
  assert list(found.values()) == [
    workdir.read_result(folder)['accuracy']['helpful'] for folder in trained
  ]
  page = (undisturbed / 'report.html').read_text()
  assert 'pm-harmless_weight=4.0' in page and '<figure>' in page


def test_two_processes_one_of_them_killed_train_as_one(
  cache, undisturbed, tmp_path
):
  """The parameters are split between them; the launcher starts them again."""
  sweep = tmp_path / 'alone.py'
  text, _, _ = SWEEP.partition("      Stage('pm'")
  rest = SWEEP.partition('    ),\n    sizes')
  sweep.write_text(text + ''.join(rest[1:]))
  folder = tmp_path / 'pretrain'
  # On a busy machine a process may miss its heartbeat by itself.
  executor = 'local:processes=2,retries=4'
  flags = ['--config.loop.mesh_fsdp=2']
  child = start(sweep, tmp_path, cache, executor=executor, flags=flags)
  wait_for(child, lambda: num_lines(folder) >= 5)
  os.kill(process_of(folder, '--process_id=1'), signal.SIGKILL)
  log = tmp_path / 'logs' / 'pretrain.log'
  _, said = child.communicate(timeout=DEADLINE)
  assert child.returncode == 0, said
  assert 'pretrain: signal 9' in said
  assert 'resumed after step' in log.read_text()
  for own, other in zip(
    metrics.read_metrics(folder),
    metrics.read_metrics(undisturbed / 'pretrain'),
    strict=True,
  ):
    assert own['train/loss'] == pytest.approx(other['train/loss'], rel=1e-4)
