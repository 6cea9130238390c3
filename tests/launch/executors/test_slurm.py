"""Job arrays through submitit: what sbatch is given, and real local jobs."""

import dataclasses
import os
import pathlib
import re
import signal
import sys
import time

import pytest
import submitit

from hh_jax.launch import states
from hh_jax.launch.executors import slurm
from tests.launch import trials
from tests.launch.executors import fakes, golden

SBATCH = "print(f'Submitted batch job {100 * number}')"
FAKES = {'sbatch': SBATCH, 'srun': 'pass', 'squeue': ''}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
  return fakes.install(monkeypatch, tmp_path / 'bin', **FAKES)


@pytest.fixture
def chain(tmp_path):
  found = trials.expand(workdir=str(tmp_path / 'sweep'))
  return [dataclasses.replace(t, num_devices=16) for t in found.values()]


def launch(todo, **options):
  return slurm.launch(todo, slurm.Options(**options))


def scripts(cluster):
  """Texts that sbatch was given."""
  return [texts[0] for args, texts in cluster('sbatch') if texts]


def directives(text):
  return dict(re.findall(r'^#SBATCH --([\w-]+)=(.*)$', text, re.MULTILINE))


def test_one_call_submits_the_whole_sweep_as_arrays(cluster, chain):
  assert launch(chain, partition='gpu').line() == '16 submitted'
  found = [directives(text) for text in scripts(cluster)]
  # Four pretrainings at once, then what starts from each of them.
  assert found[0]['array'] == '0-3%4'
  assert 'dependency' not in found[0]
  after = [d['dependency'] for d in found[1:]]
  assert len(after) == 8 and len(set(after)) == 8
  assert {d.get('kill-on-invalid-dep') for d in found[1:]} == {'yes'}
  first = states.read_job(chain[0])
  assert re.fullmatch(r'\d+_0', first)
  assert f'afterok:{first}' in after
  for d in found:
    assert d['nodes'] == '2' and d['gpus-per-node'] == '8'
    assert d['ntasks-per-node'] == '1' and d['partition'] == 'gpu'


def test_a_rendered_submission(cluster, chain, tmp_path):
  launch(chain, minutes=60, account='lab', mem_gb=200)
  text = scripts(cluster)[1]
  text = text.replace(sys.executable, 'PYTHON').replace(str(tmp_path), 'DIR')
  golden.compare('sbatch.sh', text)


def test_jobs_that_are_still_there_are_not_submitted_again(
  chain, tmp_path, monkeypatch
):
  cluster = fakes.install(monkeypatch, tmp_path / 'bin', **FAKES)
  assert launch(chain[:4]).line() == '4 submitted'
  active = '\n'.join(states.read_job(trial) for trial in chain[:2])
  code = f'if "--me" in sys.argv: print({active!r})'
  cluster = fakes.install(
    monkeypatch, tmp_path / 'later', **{**FAKES, 'squeue': code}
  )
  outcome = launch([*chain[:4], chain[4]])
  assert outcome.line() == '3 submitted, 2 queued or running'
  again, after = map(directives, scripts(cluster))
  assert again['array'] == '0-1%2'
  assert after['dependency'] == f'afterok:{states.read_job(chain[0])}'


def test_a_refusal_is_told_in_the_words_of_the_cluster(
  chain, tmp_path, monkeypatch
):
  refusal = (
    "if '--version' not in sys.argv:\n"
    "  print('sbatch: error: invalid partition', file=sys.stderr); sys.exit(1)"
  )
  programs = {**FAKES, 'sbatch': refusal}
  fakes.install(monkeypatch, tmp_path / 'bin', **programs)
  with pytest.raises(ValueError, match='invalid partition'):
    launch(chain, partition='nowhere')


def test_without_slurm_or_submitit(chain, tmp_path, monkeypatch):
  fakes.hide(monkeypatch, tmp_path / 'bin')
  with pytest.raises(ValueError, match='sbatch is not on the PATH'):
    launch(chain)
  monkeypatch.setitem(sys.modules, 'submitit', None)
  with pytest.raises(ValueError, match='needs submitit: pip install'):
    launch(chain)


def test_a_mesh_that_does_not_fill_nodes(cluster, chain):
  odd = dataclasses.replace(chain[0], num_devices=9)
  with pytest.raises(ValueError, match='a mesh of 9 devices, which is no'):
    launch([odd])
  assert slurm.shape_of(odd, slurm.Options(devices_per_node=9)) == (1, 9)
  small = dataclasses.replace(odd, num_devices=2)
  assert slurm.shape_of(small, slurm.Options()) == (1, 2)


@pytest.mark.parametrize(
  'options',
  [{'minutes': 0}, {'devices_per_node': 0}, {'cluster': 'moon'}],
)
def test_options_that_make_no_sense(options):
  (name,) = options
  with pytest.raises(ValueError, match=name):
    slurm.Options(**options)


def print_log(todo):
  folder = states.logs(todo[0]) / 'slurm'
  return '\n'.join(p.read_text() for p in sorted(folder.glob('*.err')))


@pytest.mark.slow
def test_real_jobs_by_submitits_local_cluster(tmp_path):
  bad = "import sys; print('error: no data', file=sys.stderr); sys.exit(2)"
  todo = [
    trials.fake(tmp_path, 'a'),
    trials.fake(tmp_path, 'b', starts=['a']),
    trials.fake(tmp_path, 'bad', bad),
  ]
  outcome = launch(todo, cluster='local', minutes=1)
  assert outcome.line() == '2 done, 1 failed', print_log(todo)
  assert outcome.exit_code == 1
  assert states.of(todo)['bad'].note == 'exit code 2: error: no data'


@pytest.mark.slow
def test_a_job_whose_trial_asks_for_it_is_requeued(tmp_path):
  code = f"""
import pathlib, sys
first = pathlib.Path({str(tmp_path / 'first')!r})
if not first.exists():
  first.touch()
  sys.exit(75)
FINISH"""
  todo = [trials.fake(tmp_path, 'a', code)]
  outcome = launch(todo, cluster='local', minutes=1)
  assert outcome.line() == '1 done', print_log(todo)


@pytest.mark.slow
@pytest.mark.parametrize('number', [slurm.requeue_signal(), signal.SIGTERM])
def test_a_job_whose_time_is_up_is_saved_and_requeued(tmp_path, number):
  """The job gets a signal, as from Slurm, and the trial a SIGTERM.

  Slurm signals the whole group of the job, to which the trial does not belong.
  """
  code = f"""
import os, pathlib, signal, sys, time
folder = pathlib.Path({str(tmp_path)!r})

def stop(*_):
  (folder / 'saved').touch()
  sys.exit(75)

if not (folder / 'saved').exists():
  signal.signal(signal.SIGTERM, stop)
  own = os.getpid() == os.getsid(0)
  (folder / 'job.partial').write_text(f'{{os.getppid()}} {{own}}')
  (folder / 'job.partial').rename(folder / 'job')
  time.sleep(60)
FINISH"""
  trial = trials.fake(tmp_path, 'a', code)
  executor = submitit.AutoExecutor(tmp_path / 'jobs', cluster='local')
  executor.update_parameters(timeout_min=5)
  job = executor.submit(slurm.Job(), trial)
  running = tmp_path / 'job'
  for _ in range(600):
    if running.exists():
      break
    time.sleep(0.1)
  process, has_own_session = running.read_text().split()
  assert has_own_session == 'True'
  os.kill(int(process), number)
  job.wait()
  assert (tmp_path / 'saved').exists()
  assert states.is_done(trial), print_log([trial])
  assert pathlib.Path(trial.workdir, 'DONE').exists()
