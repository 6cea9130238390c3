"""Programs that are missing, fail or hang."""

import time

import pytest

from hh_jax.launch.executors import tools
from tests.launch.executors import fakes


def test_a_program_that_answers(monkeypatch, tmp_path):
  calls = fakes.install(monkeypatch, tmp_path / 'bin', sbatch="print('23.02')")
  tools.require('sbatch', '--version')
  assert calls('sbatch') == [(['--version'], [])]


@pytest.mark.parametrize(
  ('code', 'said'),
  [
    (
      "print('first\\nslurm is down', file=sys.stderr); sys.exit(3)",
      'sbatch --version ended with exit code 3: slurm is down',
    ),
    ('time.sleep(60)', 'sbatch --version: no answer within 1 s'),
  ],
)
def test_a_dead_program(monkeypatch, tmp_path, code, said):
  fakes.install(monkeypatch, tmp_path / 'bin', sbatch=code)
  monkeypatch.setattr(tools, 'ANSWER_SECONDS', 1.0)
  started = time.monotonic()
  with pytest.raises(ValueError) as caught:
    tools.require('sbatch', '--version')
  assert str(caught.value) == said
  assert time.monotonic() - started < 5


def test_a_program_that_is_not_there(monkeypatch, tmp_path):
  fakes.hide(monkeypatch, tmp_path / 'bin')
  with pytest.raises(ValueError, match='sbatch is not on the PATH'):
    tools.require('sbatch', '--version')
