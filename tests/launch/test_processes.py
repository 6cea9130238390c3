"""The flags that join processes."""

import pytest

from hh_jax.config import RejectionConfig, RLHFConfig
from hh_jax.launch import processes

GOOD = ['--coordinator=host:1234', '--num_processes=4', '--process_id=3']


def test_the_flags_are_taken_off_the_others():
  group, rest = processes.take(['--workdir=w', *GOOD, '--config.seed=1'])
  assert group == processes.Group('host:1234', 4, 3)
  assert rest == ['--workdir=w', '--config.seed=1']
  assert processes.flags_of('host:1234', 4, 3) == GOOD


def test_a_process_alone_has_no_flags():
  assert processes.take(['--workdir=w']) == (None, ['--workdir=w'])
  assert processes.flags_of('host:1234', 1, 0) == []


@pytest.mark.parametrize(
  ('args', 'said'),
  [
    (GOOD[:2], '--process_id is missing'),
    (GOOD[1:], '--coordinator is missing'),
    ([*GOOD[:2], '--process_id=4'], '--process_id=4 is not within 0 .. '),
    ([*GOOD[:2], '--process_id=x'], '--process_id=x is not a whole number'),
    (['--coordinator=host', *GOOD[1:]], '--coordinator=host is not HOST:PORT'),
  ],
)
def test_wrong_flags(args, said):
  with pytest.raises(ValueError) as caught:
    processes.take(args)
  assert said in str(caught.value)


@pytest.mark.parametrize(
  'environ',
  [{'SLURM_JOB_NUM_NODES': '2'}, {'TPU_WORKER_HOSTNAMES': 'a,b'}],
)
@pytest.mark.parametrize('host', ['localhost', '127.0.0.1', '[::1]'])
def test_a_loopback_coordinator_of_several_hosts(environ, host):
  group = processes.Group(f'{host}:1', 2, 0)
  with pytest.raises(ValueError, match='name the host of process 0'):
    processes.require_reachable(group, environ)
  processes.require_reachable(group, {})
  processes.require_reachable(group, {'SLURM_JOB_NUM_NODES': '1'})
  processes.require_reachable(processes.Group('node7:1', 2, 0), environ)


def test_stages_that_run_in_one_process_say_so():
  processes.require_spread(RLHFConfig, 8)
  processes.require_spread(RejectionConfig, 1)
  with pytest.raises(ValueError, match='Rejection runs in one process, not in'):
    processes.require_spread(RejectionConfig, 2)


def test_processes_share_a_mesh_evenly():
  processes.require_even(8, 2)
  with pytest.raises(ValueError, match='2 processes do not share the 1 '):
    processes.require_even(1, 2)
