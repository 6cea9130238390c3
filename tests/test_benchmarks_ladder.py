"""Rows of the ladder's benchmark, of plans that were made up."""

import json

import pytest

from benchmarks import ladder

CHIP = 95 * 2**30


def step_of(name, seconds, runs, **own):
  return {
    'step': name,
    'rows': 8,
    'context': 64,
    'tokens': 512,
    'parameters': 100,
    'runs': runs,
    'seconds': seconds,
    'mfu': 0.5,
    'bound': 'memory',
    'memory': {'weights': 1},
    'memory_total': 1.0,
    'memory_chip': CHIP,
    'collectives': {},
    'compile_seconds': 1.0,
    'warnings': [],
    'fits': True,
    **own,
  }


def plan_of(*steps):
  return {
    'topology': 'v5p:2x2x1',
    'num_chips': 4,
    'mesh': {'data': 1, 'fsdp': 4, 'tensor': 1},
    'model': {'remat': False},
    'too_small': [],
    'steps': list(steps),
  }


def test_a_rollout_and_its_updates_are_a_row_each():
  job = ladder.Job('13m', 'rlhf')
  plan = plan_of(
    step_of('reshard', 1.0, 10, mfu=0.0),
    step_of('prefill', 1.0, 20, memory_total=3.0, warnings=['w']),
    step_of('decode', 4.0, 10, bound='network'),
    step_of('score', 1.0, 40),
    step_of('update', 2.0, 80),
  )
  rollout, update = ladder.rows(job, plan)
  assert [rollout['job'], update['job']] == ['rlhf rollout', 'rlhf update']
  assert rollout['seconds'] == 1 + 2 * 1 + 4  # prompts are read in two parts
  assert rollout['mfu'] == pytest.approx((2 * 0.5 + 4 * 0.5) / 7)
  assert rollout['tokens_per_second'] == 512 / 7
  assert rollout['memory_gib'] == 3 / 2**30
  assert (rollout['bound'], rollout['warnings']) == ('network', ['w'])
  assert update['seconds'] == 2 + 1 / 2  # scored once, learnt from twice


def test_a_stage_of_which_the_number_of_updates_is_not_known():
  job = ladder.Job('13m', 'pm', 1024)
  (row,) = ladder.rows(job, plan_of(step_of('update', 2.0, None)))
  assert (row['job'], row['seconds'], row['mfu']) == ('pm 1024', 2.0, 0.5)


def test_a_slice_that_the_compiler_finds_too_small_is_told(monkeypatch):
  """The planner exits with 2 then, and its plan is read all the same."""
  fits = iter([False, True])

  def run(line, **_):
    (target,) = (arg for arg in line if arg.startswith('--json='))
    plan = plan_of(step_of('update', 1.0, 1, fits=next(fits)))
    with open(target.removeprefix('--json='), 'w') as file:
      json.dump(plan, file)
    return ladder.subprocess.CompletedProcess(line, 2, '', '')

  monkeypatch.setattr(ladder.subprocess, 'run', run)
  plan = ladder.planned(ladder.Job('13m', 'pm', 1024))
  assert plan['too_small'] == ['v5p:2x2x1']


def test_a_planner_that_fails_ends_the_ladder(monkeypatch):
  failed = ladder.subprocess.CompletedProcess([], 1, '', 'Traceback')
  monkeypatch.setattr(ladder.subprocess, 'run', lambda *_, **__: failed)
  with pytest.raises(SystemExit, match='Traceback'):
    ladder.planned(ladder.Job('13m', 'pm', 1024))


def test_a_stage_that_is_not_of_the_ladder_is_refused(monkeypatch, capsys):
  monkeypatch.setattr(ladder.importlib.util, 'find_spec', lambda _: object())
  with pytest.raises(SystemExit):
    ladder.main(['--stages=pmp'])
  assert "'pmp' is neither a rung nor a stage" in capsys.readouterr().err
