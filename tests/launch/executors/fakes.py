"""Programs of a cluster that record how they were called."""

import json
import os
import pathlib
import stat
import sys

PROGRAM = """#!{python}
import json, pathlib, sys, time
name = {name!r}
record = pathlib.Path({folder!r}) / 'calls.jsonl'
files = [
  pathlib.Path(arg.partition('=')[2] or arg) for arg in sys.argv[1:]
]
texts = [path.read_text() for path in files if path.is_file()]
with record.open('a') as file:
  file.write(json.dumps([name, sys.argv[1:], texts]) + '\\n')
number = len(record.read_text().splitlines())
{code}
"""


def install(monkeypatch, folder, **programs):
  """Puts programs first on the PATH; returns a reader of their calls.

  Args:
    monkeypatch: Of pytest.
    folder: Where they and the record lie.
    **programs: Name -> Python code, which has `number`, the call's.
  """
  folder.mkdir(exist_ok=True)
  for name, code in programs.items():
    path = folder / name
    path.write_text(
      PROGRAM.format(
        python=sys.executable, name=name, folder=str(folder), code=code
      )
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
  path = os.environ['PATH']
  monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{path}')

  def calls(name=None):
    """Arguments and texts of the files among them, of every call so far."""
    record = pathlib.Path(folder) / 'calls.jsonl'
    lines = record.read_text().splitlines() if record.exists() else []
    found = [json.loads(line) for line in lines]
    return [(args, texts) for who, args, texts in found if name in (who, None)]

  return calls


def hide(monkeypatch, folder):
  """Leaves nothing but Python itself on the PATH."""
  folder.mkdir(exist_ok=True)
  monkeypatch.setenv('PATH', str(folder))
