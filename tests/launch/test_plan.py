"""The planner's command line: mistakes are answered before jax is loaded."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from hh_jax.launch import cli, plan

ROOT = pathlib.Path(__file__).parents[2]
RLHF = '--config=configs/rlhf.py:size=52b'
SLICE = '--topology=v5p:8x8x8'


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
  monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
  ('args', 'says'),
  [
    ([SLICE], '--config=FILE.py is required'),
    ([RLHF], '--topology=NAME is required'),
    ([RLHF, '--topology=v5x:2x2x1'], "no chip 'v5x'; did you mean"),
    ([RLHF, '--topology=v5p:3x5x7'], 'there is no slice'),
    (['--config=configs/evaluate.py', SLICE], 'no config of a stage'),
    ([RLHF, SLICE, '--config.data.batchsize=4'], 'data.batch_size'),
    ([RLHF, SLICE, '--price=-1'], 'price'),
    ([RLHF, SLICE, '--seach'], 'seach'),
    ([RLHF, SLICE, 'now'], "argument 'now' is not a flag"),
    ([RLHF, SLICE, '--config.data.batch_size=0'], 'batch_size=0'),
    ([RLHF, SLICE, '--json=README.md/plan.json'], 'is a file, not a folder'),
  ],
)
def test_mistakes_are_one_line(args, says):
  with pytest.raises((cli.UsageError, ValueError), match=says):
    plan.parse(args)


def test_the_network_is_that_of_pretraining_with_the_same_argument():
  request = plan.parse([RLHF, SLICE, '--config.data.batch_size=64'])
  assert request.config.data.batch_size == 64
  assert request.model.num_layers == 64
  own = plan.parse(
    [
      '--config=configs/pretrain.py:size=13m',
      SLICE,
      '--config.model.remat=true',
    ]
  )
  assert own.model.remat and own.model is own.config.model
  harmless = '--config=configs/pm.py:size=42m,harmless=0.5'
  assert plan.parse([harmless, SLICE]).model.num_layers == 6


def test_a_model_that_cannot_fit_is_refused_at_once():
  """By how much, and what helps; exit code 2, and jax is not loaded."""
  done = subprocess.run(
    [sys.executable, '-X', 'importtime', '-m', 'hh_jax.launch.plan']
    + [RLHF, '--topology=v5p:2x2x1'],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  lines = [
    line
    for line in done.stderr.splitlines()
    if not line.startswith('import time:')
  ]
  assert done.returncode == 2
  assert len(lines) == 1
  assert '390.0 more than the 95 of a TPU v5p; 21 chips or more' in lines[0]
  assert '| jax\n' not in done.stderr


@pytest.mark.slow
def test_a_plan_for_gpus_compiled_for_devices_that_stand_in(tmp_path):
  """A tiny pretraining on two of them: what is printed, and the file."""
  file = tmp_path / 'plan.json'
  done = subprocess.run(
    [sys.executable, '-m', 'hh_jax.launch.plan', '--topology=h100:2']
    + ['--config=configs/pretrain.py:size=nano0,scale=smoke']
    + ['--config.loop.mesh_fsdp=2', '--price=3', f'--json={file}'],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  made = json.loads(file.read_text())
  assert made['compiler'] == 'virtual CPU devices'
  assert made['mesh'] == {'data': 1, 'fsdp': 2, 'tensor': 1}
  assert len(made['unknown']) == 1
  (row,) = made['steps']
  assert (row['step'], row['rows'], row['context']) == ('update', 2, 512)
  assert row['tokens'] == 2 * 512 and row['runs'] == 4
  # Adam's moments are twice the weights, and of both a chip holds half.
  memory = row['memory']
  assert memory['optimizer'] == pytest.approx(2 * memory['weights'], rel=0.01)
  assert memory['weights'] == pytest.approx(4 * row['parameters'] / 2, rel=0.1)
  assert row['memory_total'] >= sum(memory.values())
  assert row['fits'] and row['largest_rows'] > row['rows']
  assert row['collectives']['all-gather']['bytes'] > 0
  # The operations that are needed are among those that are executed.
  assert 0.3 < row['useful_flops'] <= 1
  assert 0 < row['mfu'] < 1
  hours = row['runs'] * row['seconds'] * 2 / 3600
  assert made['chip_hours'] == pytest.approx(hours)
  assert made['cost'] == pytest.approx(3 * hours)
  for line in (
    '2 x H100 SXM (h100:2), mesh data=1 fsdp=2 tensor=1, compiled by virtual',
    'update: 2 rows x 512 tokens',
    'all-gather: ',
    'MFU ',
    ' chip-hours, ',
    'a node of 8 GPUs',
    'not known: compiled for virtual CPU devices',
  ):
    assert line in done.stdout, line


@pytest.mark.parametrize('fits', [True, False])
def test_a_step_that_does_not_fit_is_exit_code_2(
  fits, tmp_path, monkeypatch, capsys
):
  made = {
    'steps': [{'fits': True}, {'fits': fits}],
    'chip_hours': 2.0 if fits else None,
    'unpriced': [] if fits else ['decode does not fit'],
    'assumptions': [],
    'unknown': [],
  }
  monkeypatch.setattr('hh_jax.planning.plan.make', lambda *_: made)
  monkeypatch.setattr('hh_jax.planning.topology.prepare', lambda _: None)
  file = tmp_path / 'plan.json'
  code = plan.main([RLHF, SLICE, '--price=3', f'--json={file}'])
  assert code == (0 if fits else 2)
  assert json.loads(file.read_text())['cost'] == (6.0 if fits else None)
  told = capsys.readouterr().out
  assert ('decode does not fit' in told) != fits
