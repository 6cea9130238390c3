import dataclasses
import os
import pathlib
import resource
import subprocess
import sys
import textwrap

import pytest

from hh_jax import config as config_lib
from hh_jax.launch import cli

ROOT = pathlib.Path(__file__).parents[2]

TOY_CONFIG = """
import ml_collections

from hh_jax import config


def get_config(arg=''):
  size = config.parse_arg(arg, size=1)['size']
  if size < 0:
    raise ValueError(f'size={size} is negative')
  data = dict(batch_size=4 * size, shuffle=True, world='lab')
  return ml_collections.ConfigDict(
    dict(steps=size, rate=0.5, layers=(1, 2), data=data)
  )
"""

TOY_SCRIPT = '''
"""Trains a toy."""

import dataclasses
import sys

from hh_jax.config import DataConfig
from hh_jax.launch import cli


@dataclasses.dataclass(frozen=True)
class Config:
  steps: int = 1
  data: DataConfig = dataclasses.field(default_factory=DataConfig)


def main(config, workdir):
  return f'{config.steps} steps in {workdir}'


if __name__ == '__main__':
  cli.run(main, Config)
  heavy = {'flax', 'jax', 'orbax', 'optax'} & set(sys.modules)
  print('heavy:', *sorted(heavy))
'''

STEPS_CONFIG = """
import ml_collections


def get_config(arg):
  return ml_collections.ConfigDict(dict(steps=3))
"""


@pytest.fixture(autouse=True)
def names_no_inputs(monkeypatch):
  """A toy config has neither data nor runs to be asked for."""
  monkeypatch.setattr(cli, 'require_inputs', lambda config: None)


@dataclasses.dataclass(frozen=True)
class DataConfig:
  batch_size: int
  shuffle: bool
  world: str


@dataclasses.dataclass(frozen=True)
class ToyConfig:
  steps: int
  rate: float
  layers: tuple[int, ...]
  data: DataConfig

  def __post_init__(self):
    if self.steps > 100:
      raise ValueError(f'steps={self.steps} is above 100')


@pytest.fixture
def toy(tmp_path):
  file = tmp_path / 'toy.py'
  file.write_text(TOY_CONFIG)
  return str(file)


def parse(toy, *args):
  args = [f'--config={toy}', '--workdir=w', *args]
  return cli.parse(ToyConfig, args)[0]


def describe(config, workdir):
  return f'{config.steps} steps in {workdir}'


def run_to_error(capsys, main, *args):
  """Runs, expects exit code 2, and returns the one line on stderr."""
  with pytest.raises(SystemExit) as caught:
    cli.run(main, ToyConfig, ['toy', *args])
  assert caught.value.code == 2
  captured = capsys.readouterr()
  assert captured.out == ''
  assert captured.err.startswith('error: ')
  assert captured.err.count('\n') == 1 and captured.err.endswith('\n')
  return captured.err


def test_parse_reads_the_file_the_argument_and_the_overrides(toy):
  config, workdir = cli.parse(
    ToyConfig,
    [
      f'--config={toy}:size=3',
      '--config.data.world=hh',
      '--config.rate',
      '2',
      '--noconfig.data.shuffle',
      '--config.layers=(5,)',
      '--workdir=runs/toy',
    ],
  )
  assert workdir == 'runs/toy'
  assert config == ToyConfig(
    steps=3,
    rate=2.0,
    layers=(5,),
    data=DataConfig(batch_size=12, shuffle=False, world='hh'),
  )
  assert isinstance(config.rate, float)


def test_overrides_may_come_before_the_config_file(toy):
  config, _ = cli.parse(
    ToyConfig, ['--config.steps=9', '--workdir=w', '--config', toy]
  )
  assert config.steps == 9


def test_the_last_override_wins(toy):
  config = parse(toy, '--config.steps=9', '--config.steps=8')
  assert config.steps == 8


def test_run_prints_what_main_returns(toy, capsys):
  cli.run(describe, ToyConfig, ['toy', f'--config={toy}:size=2', '--workdir=w'])
  captured = capsys.readouterr()
  assert captured.out == '2 steps in w\n'
  assert captured.err == ''


def test_run_prints_nothing_for_none(toy, capsys):
  argv = ['toy', f'--config={toy}', '--workdir=w']
  cli.run(lambda config, workdir: None, ToyConfig, argv)
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
  ('args', 'said'),
  [
    (['--config.stepz=2'], 'did you mean --config.steps?'),
    (['--config.data.bach_size=2'], 'did you mean --config.data.batch'),
    (['--config.batch_siz=2'], 'did you mean --config.data.batch_size?'),
    (['--noconfig.data.shufle'], 'did you mean --config.data.shuffle?'),
    (['--config.qqqqqq=2'], '--help lists the keys'),
    (['--config.data={}'], 'is a group of fields'),
    (['--config.steps.more=1'], 'is unknown'),
    (['--config.steps=many'], 'many'),
    (['--config.rate=fast'], 'fast'),
    (['--config.data.shuffle=perhaps'], 'perhaps'),
    (['--config.layers=(1,'], '(1,'),
    (['--config.steps=101'], 'steps=101 is above 100'),
    (['--wrkdir=x'], 'workdir'),
    (['surplus'], "'surplus' is not a flag"),
  ],
)
def test_a_wrong_argument_is_one_line(toy, capsys, args, said):
  argv = [f'--config={toy}', '--workdir=w', *args]
  assert said in run_to_error(capsys, describe, *argv)


@pytest.mark.parametrize(
  ('arg', 'said'),
  [
    ('sise=2', "did you mean 'size'?"),
    ('size=big', "size='big' is not of type int"),
    ('size=-1', 'size=-1 is negative'),
    ('2', 'name=value'),
  ],
)
def test_a_wrong_config_argument_is_one_line(toy, capsys, arg, said):
  line = run_to_error(capsys, describe, f'--config={toy}:{arg}', '--workdir=w')
  assert said in line


def test_what_is_missing_is_named(toy, capsys):
  line = run_to_error(capsys, describe, f'--config={toy}')
  assert '--workdir=DIR is required' in line
  line = run_to_error(
    capsys, describe, f'--config={toy}', '--workdir=gs://bucket/run'
  )
  assert 'is on an object store' in line
  line = run_to_error(capsys, describe, '--workdir=w')
  assert '--config=FILE.py is required' in line
  line = run_to_error(capsys, describe, '--workdir=w', '--config')
  assert '--config has no value' in line


def test_a_missing_config_file_is_answered_with_the_nearest(toy, capsys):
  path = toy.replace('toy.py', 'tyo.py')
  line = run_to_error(capsys, describe, f'--config={path}', '--workdir=w')
  assert f'did you mean {toy!r}?' in line


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('x = 1\n', 'has no get_config'),
    ('def get_config(arg):\n  return 5\n', 'returned a int'),
  ],
)
def test_a_config_file_that_is_none(tmp_path, capsys, text, said):
  file = tmp_path / 'bad.py'
  file.write_text(text)
  line = run_to_error(capsys, describe, f'--config={file}', '--workdir=w')
  assert said in line


def test_a_config_of_another_stage_is_refused(toy, capsys):
  @dataclasses.dataclass(frozen=True)
  class Other:
    steps: int = 1

  with pytest.raises(SystemExit):
    cli.run(describe, Other, ['toy', f'--config={toy}', '--workdir=w'])
  assert 'config.data is unknown' in capsys.readouterr().err


@pytest.mark.parametrize('kind', cli.USER_ERRORS)
def test_user_errors_of_main_are_one_line(toy, capsys, kind):
  def main(config, workdir):
    raise kind('no tokenizer in w:\n  run pretrain first')

  line = run_to_error(capsys, main, f'--config={toy}', '--workdir=w')
  assert 'no tokenizer in w: run pretrain first' in line
  assert 'HH_JAX_TRACEBACK=1' in line


@pytest.mark.parametrize('name', ['taken', 'taken/below'])
def test_a_workdir_that_is_a_file(toy, tmp_path, capsys, name):
  (tmp_path / 'taken').write_text('mine')
  args = f'--config={toy}', f'--workdir={tmp_path / name}'
  line = run_to_error(capsys, describe, *args)
  assert f'--workdir={tmp_path / name}: ' in line
  assert f'{tmp_path / "taken"} is a file, not a folder' in line
  assert (tmp_path / 'taken').read_text() == 'mine'


def test_a_workdir_that_cannot_be_written(toy, tmp_path, capsys, monkeypatch):
  args = f'--config={toy}', f'--workdir={tmp_path / "a" / "b"}'
  monkeypatch.setattr(cli.os, 'access', lambda path, mode: path != tmp_path)
  line = run_to_error(capsys, describe, *args)
  assert f'{tmp_path} cannot be written to' in line


def test_the_traceback_can_be_asked_for(toy, monkeypatch):
  def main(config, workdir):
    raise ValueError('wrong shape')

  monkeypatch.setenv('HH_JAX_TRACEBACK', '1')
  with pytest.raises(ValueError, match='wrong shape'):
    cli.run(main, ToyConfig, ['toy', f'--config={toy}', '--workdir=w'])


def test_programming_errors_keep_their_traceback(toy):
  def main(config, workdir):
    return config.no_such_field

  with pytest.raises(AttributeError):
    cli.run(main, ToyConfig, ['toy', f'--config={toy}', '--workdir=w'])


def test_help_lists_the_keys_of_the_config(toy, capsys):
  cli.run(describe, ToyConfig, ['toy', '--help', f'--config={toy}:size=2'])
  out = capsys.readouterr().out
  assert 'usage:' in out
  assert '--config.data.batch_size=8' in out


def run_script(folder, *args):
  """Runs the toy script; returns the process and the CPU seconds it took."""
  (folder / 'script.py').write_text(TOY_SCRIPT)
  (folder / 'steps.py').write_text(STEPS_CONFIG)
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [sys.executable, 'script.py', *args],
    cwd=folder,
    env=environment,
    capture_output=True,
    text=True,
    timeout=60,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
  return done, used


def test_a_script_answers_before_jax_is_loaded(tmp_path):
  done, _ = run_script(tmp_path, '--config=steps.py', '--workdir=w')
  assert done.returncode == 0, done.stderr
  assert done.stdout == '3 steps in w\nheavy:\n'

  done, seconds = run_script(tmp_path, '--help')
  assert done.returncode == 0
  assert done.stdout.startswith('Trains a toy.\n')
  assert seconds < 1

  done, seconds = run_script(
    tmp_path, '--config=steps.py', '--workdir=w', '--config.step=1'
  )
  assert done.returncode == 2
  assert done.stderr == textwrap.dedent("""\
      error: --config.step is unknown; did you mean --config.steps?
  """)
  assert seconds < 2


def test_a_field_may_have_a_flag_of_its_own():
  for arg, spelled in (
    ('--iteration=3', '--config.iteration=3'),
    ('--num_test=3', '--num_test=3'),
    ('--workdir=w', '--workdir=w'),
  ):
    assert cli.spell_out(config_lib.OnlineConfig, arg) == spelled
