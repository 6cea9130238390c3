"""The environment that the peers run in.

1. A virtual environment with PyTorch, transformers and the current TRL.
2. A folder with TRL 1.12.0 alone, the last release with PPO, that goes before
   it on the path where PPO runs.
3. Inside it a second environment with Tunix, which asks for other versions.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).parent / 'peers/requirements.txt'
TUNIX = REQUIREMENTS.with_name('requirements_tunix.txt')
LAST_PPO = 'trl==1.12.0'
# Both sides: huge pages, as the library asks for by itself.
MEMORY = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
THREADS = '2'


def make(folder: pathlib.Path) -> None:
  """Installs the peers unless they are there."""
  make_torch(folder)
  make_tunix(folder / 'tunix')


def make_tunix(folder: pathlib.Path) -> None:
  stamp, wanted = folder / 'installed.txt', TUNIX.read_text()
  if stamp.exists() and stamp.read_text() == wanted:
    return
  pip = new_environment(folder)
  subprocess.run([*pip, '--requirement', str(TUNIX)], check=True)
  stamp.write_text(wanted)


def new_environment(folder: pathlib.Path) -> list[str]:
  """Makes a virtual environment; returns the command that installs there."""
  print(f'installing peers into {folder}', flush=True)
  subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
  return [str(folder / 'bin/python'), '-m', 'pip', 'install', '-qq']


def make_torch(folder: pathlib.Path) -> None:
  stamp = folder / 'installed.txt'
  wanted = f'{REQUIREMENTS.read_text()}{LAST_PPO}\n'
  if stamp.exists() and stamp.read_text() == wanted:
    return
  pip = new_environment(folder)
  # PyTorch first and alone: a range asked for later must find it installed.
  (torch,) = (
    line for line in wanted.splitlines() if line.startswith('torch==')
  )
  subprocess.run([*pip, torch], check=True)
  subprocess.run([*pip, '--requirement', str(REQUIREMENTS)], check=True)
  subprocess.run(
    [*pip, '--no-deps', '--target', str(folder / 'ppo'), LAST_PPO], check=True
  )
  stamp.write_text(wanted)


def of_side(folder: pathlib.Path, is_ours: bool, module: str) -> dict[str, str]:
  """The environment variables of one process."""
  environ = {
    **os.environ,
    **MEMORY,
    'JAX_PLATFORMS': 'cpu',  # where the peers run
    'OMP_NUM_THREADS': THREADS,
    'TOKENIZERS_PARALLELISM': 'false',
    'HF_HUB_OFFLINE': '1',
    'TRL_EXPERIMENTAL_SILENCE': '1',
  }
  if not is_ours and module == 'ppo':
    environ['PYTHONPATH'] = str(folder / 'ppo')
  return environ


def python_of(folder: pathlib.Path, is_ours: bool, module: str) -> str:
  if is_ours:
    return sys.executable
  place = folder / 'tunix' if module.endswith('tunix') else folder
  return str(place / 'bin/python')
