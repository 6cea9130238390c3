"""Running the real command line, each time in a process of its own."""

import os
import pathlib
import resource
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
SMOKE = 'size=nano0,scale=smoke'


def run(script, *args, config=f'world=lab,{SMOKE}'):
  """Runs a script; returns the finished process and its CPU seconds."""
  file = f'configs/{script}.py' + (f':{config}' if config else '')
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      f'experiments.{script}',
      f'--config={file}',
      *map(str, args),
    ],
    cwd=ROOT,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=120,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
  return done, used


def refusal(script, *args, limit, config=f'world=lab,{SMOKE}'):
  """The one line a script answers with, in at most `limit` CPU seconds."""
  done, seconds = run(script, *args, config=config)
  assert done.returncode == 2, done.stderr
  assert done.stdout == ''
  lines = [line for line in done.stderr.splitlines() if not is_log(line)]
  assert len(lines) == 1, done.stderr
  assert lines[0].startswith('error: ')
  assert 'Traceback' not in done.stderr
  assert seconds < limit
  return lines[0]


def is_log(line):
  """Whether a line is dated progress, which may come before an error."""
  return line[:4].isdigit() and line[4:5] == '-'
