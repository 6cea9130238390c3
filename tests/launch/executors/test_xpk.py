"""Lines for xpk."""

import dataclasses
import shlex

import pytest

from hh_jax.launch.executors import xpk
from tests.launch import trials
from tests.launch.executors import golden

OPTIONS = xpk.Options(cluster='pods', image='registry/hh_jax:1')


@pytest.fixture
def pretrain():
  sweep = dataclasses.replace(trials.CHAIN, sizes=('52b',), seeds=(0,))
  found = trials.expand(sweep, workdir='runs/ladder')
  return dataclasses.replace(found['pretrain'], num_devices=512)


def test_rendered_lines(pretrain, capsys):
  small = dataclasses.replace(pretrain, num_devices=4)
  after = dataclasses.replace(
    small, name='pmp', starts={'init_from': 'pretrain'}
  )
  outcome = xpk.launch([pretrain, after], OPTIONS)
  assert outcome.line() == '1 printed, 1 waiting'
  v6e = dataclasses.replace(OPTIONS, tpu='v6e')
  xpk.launch([small], v6e)
  golden.compare('xpk.sh', capsys.readouterr().out)


def test_the_command_inside_is_the_trial(pretrain):
  *_, last = shlex.split(xpk.line_of(pretrain, OPTIONS))
  inside = last.removeprefix('--command=')
  assert inside.startswith(f'cd /hh_jax && exec {pretrain.line()} ')
  assert '--num_processes=128 --process_id=$TPU_WORKER_ID' in inside


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    ({'cluster': ''}, 'needs cluster=NAME'),
    ({'image': ''}, 'needs image=NAME'),
    ({'tpu': 'v9'}, "tpu='v9' is not one of"),
    ({'restarts': -1}, 'restarts=-1'),
  ],
)
def test_options_that_make_no_sense(options, said):
  with pytest.raises(ValueError) as caught:
    dataclasses.replace(OPTIONS, **options)
  assert said in str(caught.value)
