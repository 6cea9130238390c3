"""The command line of the interface: one line for what is wrong, early."""

import importlib
import os
import pathlib
import re
import resource
import shlex
import socket
import subprocess
import sys
import threading
import typing

import pytest

from hh_jax.config.feedback import (
  POLICIES,
  BestOfConfig,
  CheckpointConfig,
  HTTPConfig,
  parse_policy,
)
from hh_jax.feedback import __main__ as feedback
from hh_jax.feedback import database, invite
from hh_jax.launch import cli

ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 1.5  # CPU seconds


def run(*args, **more):
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [sys.executable, '-m', 'hh_jax.feedback', *map(str, args)],
    cwd=ROOT,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=60,
    **more,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
  return done, seconds


@pytest.fixture(scope='module', autouse=True)
def compiled():
  """What Python compiles once, in a fresh clone, is not timed."""
  run('--help')


def test_help_comes_within_a_second():
  done, seconds = run('--help')
  assert done.returncode == 0
  for kind in POLICIES:
    assert f'{kind}:' in done.stdout
  assert seconds < 1


@pytest.mark.parametrize(
  ('spec', 'said'),
  [
    ('chekpoint:run=x', "'chekpoint' is no kind of policy; did you mean"),
    ('checkpoint:runn=x', "'runn' is unknown; did you mean 'run'?"),
    ('checkpoint', 'run is empty'),
    ('checkpoint:run=nowhere', 'run=nowhere holds no run'),
    ('checkpoint:run=x,temperature=0', 'temperature=0.0 must be positive'),
    ('best_of:run=x', 'pm is empty'),
    ('best_of:run=x,pm=y,k=1', 'k=1'),
    ('http:url=host,model=m', "url='host' is no address"),
    ('http:url=http://host/v1', 'model is empty'),
    ('canned:fault=odd', "fault='odd'"),
    ('canned:share=-1', 'share=-1.0'),
    ('canned:share=many', 'not of type float'),
  ],
)
def test_a_wrong_policy_is_one_line(tmp_path, capsys, spec, said):
  args = [f'--db={tmp_path / "a.db"}', f'--policy={spec}']
  assert feedback.main(args) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('error: ') and said in line, line
  assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_answered_early(tmp_path):
  done, seconds = run(f'--db={tmp_path / "a.db"}', '--policy=checkpoint:run=x')
  assert done.returncode == 2
  assert done.stderr == 'error: run=x holds no run (no config.json)\n'
  assert seconds < LIMIT


@pytest.mark.parametrize(
  ('args', 'said'),
  [
    (['--set=max_turn=3'], "did you mean 'max_turns'?"),
    (['--set=review_share=2'], 'review_share=2.0 is outside [0, 1]'),
    (['--db=nowhere/a.db'], 'there is no folder'),
    (['--db=mysql://host/a'], 'neither an SQLite file nor PostgreSQL'),
    (['--port=99999999'], '--port=99999999'),
  ],
)
def test_other_mistakes_are_one_line(tmp_path, capsys, args, said):
  args = [f'--db={tmp_path / "a.db"}', '--policy=canned', *args]
  assert feedback.main(args) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('error: ') and said in line, line


def test_a_port_in_use_is_named(tmp_path, capsys):
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = f'--port={listener.getsockname()[1]}'
    args = [f'--db={tmp_path / "a.db"}', '--policy=canned', port]
    assert feedback.main(args) == 2
  assert port in capsys.readouterr().err


def test_serving_prints_links_and_stops_when_told(tmp_path):
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'hh_jax.feedback', '--port=0', '--demo'),
      *(f'--db={tmp_path / "a.db"}', '--policy=canned'),
    ],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  watchdog = threading.Timer(60, process.kill)
  watchdog.start()
  lines = []
  for line in process.stdout:
    lines.append(line)
    if line.startswith('serving on'):
      break
  watchdog.cancel()
  process.terminate()
  _, errors = process.communicate(timeout=20)
  text = ''.join(lines)
  assert process.returncode in (0, -15)
  assert 'Traceback' not in errors
  links = re.findall(r'^(.+): http://127\.0\.0\.1:\d+/join#\S+$', text, re.M)
  assert links == ['researcher', 'demo helpful worker', 'demo red-team worker']


def test_an_sqlite_file_is_served_by_one_server(tmp_path, capsys):
  db = str(tmp_path / 'a.db')
  with feedback.hold(db):
    args = [f'--db={db}', '--policy=canned', '--port=0']
    assert feedback.main(args) == 2
    assert 'is served by another process' in capsys.readouterr().err
  with feedback.hold(db):
    pass


def test_invites(tmp_path, capsys):
  db = str(tmp_path / 'a.db')
  assert invite.main([f'--db={db}', 'Ada']) == 2
  assert 'does not exist' in capsys.readouterr().err
  database.open_database(db).close()
  assert (
    invite.main([f'--db={db}', '--url=https://h.example', 'Ada', 'Bob']) == 0
  )
  found = capsys.readouterr().out.splitlines()
  assert [line.split('\t')[0] for line in found] == ['Ada', 'Bob']
  assert all('https://h.example/join#' in line for line in found)
  assert invite.main([f'--db={db}', '--admin']) == 0
  assert capsys.readouterr().out.startswith('researcher\t')
  for args in ([], ['--admin', 'Ada'], ['--conversations=0', 'Ada']):
    assert invite.main([f'--db={db}', *args]) == 2
    assert capsys.readouterr().err.startswith('error: ')


def test_policies_are_parsed():
  found = parse_policy('checkpoint:run=runs/rlhf,temperature=0.5,share=2')
  assert found == CheckpointConfig(run='runs/rlhf', temperature=0.5, share=2.0)
  found = parse_policy('best_of:run=a,pm=b,k=4')
  assert found == BestOfConfig(run='a', pm='b', k=4)
  found = parse_policy('http:url=http://host:80/v1,model=m')
  assert found == HTTPConfig(url='http://host:80/v1', model='m')


def documented_commands():
  text = (ROOT / 'docs' / 'feedback.md').read_text()
  blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
  lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
  commands = [shlex.split(line) for line in lines if line.strip()]
  return [command for command in commands if command[0] == 'python']


@pytest.mark.parametrize('command', documented_commands(), ids=' '.join)
def test_documented_commands_parse(command, monkeypatch):
  _, dash_m, module, *args = command
  assert dash_m == '-m'
  if module == 'hh_jax.feedback':
    flags = feedback.parse(args)
    feedback.parse_limits(flags.set)
    for spec in flags.policy:
      parse_policy(spec)
    return
  path = ROOT / f'{module.replace(".", "/")}.py'
  if module.startswith('experiments.'):
    monkeypatch.chdir(ROOT)
    main = importlib.import_module(module).main
    assert cli.parse(typing.get_type_hints(main)['config'], args)[1]
    return
  known = set(re.findall(r"add_argument\(\s*'--(\w+)'", path.read_text()))
  given = {arg[2:].partition('=')[0] for arg in args if arg.startswith('--')}
  assert given and given <= known
