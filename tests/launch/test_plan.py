"""The planner's command line: mistakes are answered before jax is loaded."""

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
