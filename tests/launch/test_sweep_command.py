"""`python -m experiments.sweep`: what it refuses, and what it tells."""

import dataclasses
import json
import logging
import resource
import subprocess
import sys

import pytest

from experiments import sweep as sweep_script
from hh_jax.config import PretrainConfig
from hh_jax.launch import cli
from hh_jax.training import workdir
from tests import scripts

LADDER = 'experiments/sweeps/ladder.py:world=lab,size=nano0,scale=smoke'
# CPU seconds of a process, against machines that are busy or slow.
MAX_SECONDS = 2.5


def run(*args, sweep=LADDER):
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'experiments.sweep',
      *(['--sweep=' + str(sweep)] if sweep else []),
      *map(str, args),
    ],
    cwd=scripts.ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
  return done, used


def refusal(*args, **more):
  """The one line that the command answers with, within the time."""
  done, seconds = run(*args, **more)
  assert done.returncode == 2, done.stderr
  assert done.stdout == ''
  lines = [x for x in done.stderr.splitlines() if not scripts.is_log(x)]
  assert len(lines) == 1, done.stderr
  assert lines[0].startswith('error: ')
  assert seconds < MAX_SECONDS
  return lines[0]


@pytest.fixture
def refused(capsys, monkeypatch):
  """As `refusal`, in this process."""
  monkeypatch.chdir(scripts.ROOT)
  monkeypatch.setattr(cli.console, 'show_log', lambda: None)
  # Another test may have left a handler, of a stream that is closed.
  package = logging.getLogger(cli.console.PACKAGE)
  monkeypatch.setattr(package, 'handlers', [])

  def answer(*args, sweep=LADDER):
    given = [f'--sweep={sweep}'] if sweep else []
    with pytest.raises(SystemExit) as caught:
      cli.answer(sweep_script.main, ['sweep', *given, *map(str, args)])
    assert caught.value.code == 2
    out, line = capsys.readouterr()
    assert out == '' and line.startswith('error: ')
    assert line.count('\n') == 1 and line.endswith('\n')
    return line

  return answer


def write_sweep(folder, stages, more=''):
  path = folder / 'mine.py'
  path.write_text(
    'from hh_jax.launch.sweep import Stage, Sweep\n'
    'def get_sweep(arg):\n'
    f'  return Sweep(({stages},), sizes=("nano0",), '
    f'arguments=dict(world="lab", scale="smoke"){more})\n'
  )
  return path


def test_lines_are_printed(tmp_path):
  done, seconds = run(f'--workdir={tmp_path}/w')
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  names = ['pretrain', 'pmp', 'pm', 'distill', 'rlhf']
  assert [line.split()[2] for line in lines] == [
    f'experiments.{name}' for name in names
  ]
  assert lines[2].endswith(
    f'--config.init_from={tmp_path}/w/pmp --workdir={tmp_path}/w/pm'
  )
  assert not (tmp_path / 'w').exists()
  assert seconds < MAX_SECONDS


def test_help():
  done, seconds = run('--help', sweep='')
  assert done.returncode == 0
  assert '--executor=local:parallel=2' in done.stdout
  assert seconds < 1


@pytest.mark.parametrize(
  ('args', 'said'),
  [
    (['stauts'], "did you mean 'status'?"),
    (['--wrkdir=x'], 'workdir'),
    (['surplus', '--workdir=w'], "'surplus' is unknown"),
    (['run', '--workdir=w', 'surplus'], "'surplus' is not a flag"),
    ([], '--workdir=DIR is required'),
    (['--workdir=gs://b/x'], 'is on an object store'),
    (['--workdir=w', '--executor=slrum'], 'did you mean slurm?'),
    (['--workdir=w', '--executor=local:paralel=2'], "mean 'parallel'?"),
    (['--workdir=w', '--executor=local:parallel=x'], 'not of type int'),
    (['--workdir=w', '--executor=local:parallel=0'], 'must be positive'),
    (['--workdir=w', '--executor=gke'], 'needs image=NAME'),
    (['--workdir=w', '--executor=xpk'], 'needs cluster=NAME'),
    (['--workdir=w', '--executor=xmanager:image=i'], 'pip install xmanager'),
    (['--workdir=w', '--config.seeed=1'], 'did you mean --config.seed?'),
    (['--workdir=w', '--config.loop.mesh_data=3'], 'is not divisible by'),
  ],
)
def test_a_wrong_command_is_one_line(refused, args, said):
  assert said in refused(*args)


@pytest.mark.parametrize(
  ('sweep', 'said'),
  [
    ('', '--sweep=FILE.py is required'),
    ('experiments/sweeps/lader.py', "mean 'experiments/sweeps/ladder.py'?"),
    ('configs/pm.py', 'has no get_sweep(arg)'),
    (LADDER.replace('world', 'wrold'), "did you mean 'world'?"),
    (LADDER.replace('nano0', '12m'), "nearest is '13m'"),
    (LADDER.replace('smoke', 'smok'), "scale='smok' is not one of"),
    (f'{LADDER},seeds=0', 'at least one stage, one size and one seed'),
  ],
)
def test_a_wrong_sweep_is_one_line(refused, tmp_path, sweep, said):
  assert said in refused(f'--workdir={tmp_path}/w', sweep=sweep)
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
  ('stages', 'said'),
  [
    (
      "Stage('pretrain', varied={'num_stepz': (1, 2)})",
      'pretrain-num_stepz=1: --config.num_stepz is unknown; did you mean '
      '--config.num_steps? (2 of 2 trials are wrong; nothing was started)',
    ),
    (
      "Stage('pretrain', varied={'loop.mesh_data': (1, 3)})",
      'pretrain-mesh_data=3: config: batch_size=2 is not divisible by',
    ),
    (
      "Stage('pretrain', varied={'num_steps': (4, 4)})",
      'two trials have the workdir',
    ),
    (
      "Stage('pretrain'), Stage('distill', {'init_from': 'pretrain'}), "
      "Stage('pm', {'init_from': 'distill'})",
      'init_from is to be distill, a distill run; it must be of pmp or',
    ),
    (
      "Stage('pretrain'), Stage('pm', {'init_form': 'pretrain'})",
      '--config.init_form is unknown; did you mean --config.init_from?',
    ),
    ("Stage('pm')", '--config.init_from is empty; give the workdir of'),
    (
      "Stage('pm', fixed={'init_from': 'nowhere'})",
      '--config.init_from=nowhere holds no run',
    ),
    (
      "Stage('pretrain'), Stage('pm', {'init_from': 'pretrain'}), "
      "Stage('rlhf', {'policy_from': 'pretrain', 'pm_from': 'pm'}, "
      "fixed={'data.test_fraction': 0.2})",
      'what is held out here it may have seen; make them equal',
    ),
    (
      "Stage('pretrain', fixed={'data.world': 'hh', "
      "'data.data_dir': 'nowhere'})",
      '--config.data.data_dir=nowhere does not exist',
    ),
    (
      "Stage('pretrain', fixed={'model.positions': 'learned', "
      "'model.max_positions': 600}), "
      "Stage('distill', {'init_from': 'pretrain'}, "
      "fixed={'data.max_path': 0})",
      'have no position in a network that learned max_positions=600',
    ),
  ],
)
def test_what_is_wrong_in_a_trial_is_told_before_any_is_started(
  refused, tmp_path, stages, said
):
  sweep = write_sweep(tmp_path, stages)
  line = refused(f'--workdir={tmp_path}/w', '--executor=local', sweep=sweep)
  assert said in line
  assert not (tmp_path / 'w').exists()


def test_a_sweep_file_of_something_else(refused, tmp_path):
  path = tmp_path / 'odd.py'
  path.write_text('def get_sweep(arg):\n  return 5\n')
  line = refused(f'--workdir={tmp_path}/w', sweep=path)
  assert 'returned a int, not a Sweep' in line


def test_a_large_sweep_is_checked_within_the_time(tmp_path):
  """The whole ladder with five seeds; what is wrong is in the last trials."""
  line = refusal(
    f'--workdir={tmp_path}/w',
    '--executor=local',
    '--config.loop.mesh_data=3',
    sweep='experiments/sweeps/ladder.py:world=lab,size=52b,seeds=5',
  )
  assert '(175 of 175 trials are wrong; nothing was started)' in line


def test_a_folder_that_holds_another_run(tmp_path):
  config = dataclasses.asdict(PretrainConfig(seed=7))
  folder = workdir.prepare(tmp_path / 'pretrain', config, {'seed': 7})
  workdir.write_done(folder, {'line': 'x', 'steps': 4, 'state_sha256': 'f'})
  line = refusal(f'--workdir={tmp_path}', '--executor=local')
  assert f'workdir {tmp_path}/pretrain holds another run: ' in line


@pytest.mark.slow
@pytest.mark.parametrize('program', ['sbatch', 'kubectl'])
def test_a_dead_launcher_tool(tmp_path, monkeypatch, program):
  path = tmp_path / 'bin' / program
  path.parent.mkdir()
  path.write_text(f'#!{sys.executable}\nimport time; time.sleep(60)\n')
  path.chmod(0o755)
  monkeypatch.setenv('PATH', f'{path.parent}:/usr/bin:/bin')
  monkeypatch.chdir(tmp_path)
  executor, workdir = 'slurm', f'{tmp_path}/w'
  if program == 'kubectl':
    executor = 'gke:image=i,claim=c,apply=true,accelerator=tpu-v5p-slice'
    workdir = 'runs/never'
  sweep = 'experiments/sweeps/ladder.py:world=lab,size=13m'
  line = refusal(f'--workdir={workdir}', f'--executor={executor}', sweep=sweep)
  assert f'{program} ' in line and 'no answer within 3 s' in line


def test_where_an_untouched_sweep_stands(tmp_path):
  done, _ = run('status', f'--workdir={tmp_path}/w')
  assert done.returncode == 0, done.stderr
  assert '| pretrain | ready |' in done.stdout
  assert '| rlhf | waiting |' in done.stdout
  assert 'for distill, pm' in done.stdout


def test_collecting_a_finished_trial(tmp_path):
  folder = tmp_path / 'w' / 'pretrain'
  folder.mkdir(parents=True)
  result = {'line': 'x', 'steps': 4, 'state_sha256': 'f', 'loss': 1.5}
  (folder / 'DONE').write_text(json.dumps(result))
  done, _ = run('collect', f'--workdir={tmp_path}/w')
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('1 of 5 trials are done: ')
  rows = (tmp_path / 'w' / 'sweep.csv').read_text().splitlines()
  assert rows[0] == 'stage,size,name,num_seeds,mid,low,high,seeds,values'
  assert 'pretrain,nano0,loss,1,1.5,,,0,1.5' in rows
  assert 'Sweep w' in (tmp_path / 'w' / 'report.html').read_text()
