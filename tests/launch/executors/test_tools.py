"""Programs that are missing, fail or hang."""

import time

import pytest

from hh_jax.launch.executors import tools
from tests.launch.executors import fakes


def test_a_program_that_answers(monkeypatch, tmp_path):
  calls = fakes.install(monkeypatch, tmp_path / 'bin', sbatch="print('23.02')")
  tools.require('sbatch', '--version')
  assert calls('sbatch') == [(['--version'], [])]


def test_a_program_that_fails(monkeypatch, tmp_path):
  code = "print('first\\nslurm is down', file=sys.stderr); sys.exit(3)"
  fakes.install(monkeypatch, tmp_path / 'bin', sbatch=code)
  monkeypatch.setattr(tools, 'ANSWER_SECONDS', 60.0)
  with pytest.raises(ValueError) as caught:
    tools.require('sbatch', '--version')
  said = 'sbatch --version ended with exit code 3: slurm is down'
  assert str(caught.value) == said


def test_a_program_that_hangs(monkeypatch, tmp_path):
  fakes.install(monkeypatch, tmp_path / 'bin', sbatch='time.sleep(60)')
  monkeypatch.setattr(tools, 'ANSWER_SECONDS', 1.0)
  started = time.monotonic()
  with pytest.raises(ValueError) as caught:
    tools.require('sbatch', '--version')
  assert str(caught.value) == 'sbatch --version: no answer within 1 s'
  assert time.monotonic() - started < 30


def test_a_program_that_is_not_there(monkeypatch, tmp_path):
  fakes.hide(monkeypatch, tmp_path / 'bin')
  with pytest.raises(ValueError, match='sbatch is not on the PATH'):
    tools.require('sbatch', '--version')
