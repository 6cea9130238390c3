"""The environment that the peers run in.

1. A virtual environment with PyTorch, transformers and the current TRL.
2. A folder with TRL 1.12.0 alone, the last release with PPO, that goes before
   it on the path where PPO runs.
3. Inside it a second environment with Tunix, which asks for other versions and
   runs on the CPU.
4. Both sides run on one platform: our side where jax finds it, the peers on
   the CPU or through CUDA.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
REQUIREMENTS = pathlib.Path(__file__).parent / 'peers/requirements.txt'
TUNIX = REQUIREMENTS.with_name('requirements_tunix.txt')
LAST_PPO = 'trl==1.12.0'
# Both sides: huge pages, as the library asks for by itself.
MEMORY = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
THREADS = '2'
# Of an accelerator's memory: processes run in turn, so all but what the
# libraries beside jax take.
MEMORY_FRACTION = 0.92
PEER_DEVICE = 'BENCHMARK_PEER_DEVICE'  # read by the peers
# 'gpu' would ask for the drivers of every maker.
BACKENDS = {'gpu': 'cuda,cpu', 'tpu': 'tpu,cpu'}


def make(folder: pathlib.Path, platform: str, torch: str = '') -> None:
  """Installs the peers of a platform unless they are there.

  Args:
    folder: Of the peers' environment.
    platform: As jax calls it.
    torch: Interpreter that has PyTorch and TRL already; '' installs them.
  """
  if not torch:
    make_torch(folder)
  if platform == 'cpu':
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


def of_platform(platform: str) -> dict[str, str]:
  """The environment variables of a process of ours on a platform.

  Args:
    platform: As jax calls it; '' is what jax finds.
  """
  environ = {
    **os.environ,
    **MEMORY,
    'OMP_NUM_THREADS': THREADS,
    'XLA_PYTHON_CLIENT_MEM_FRACTION': str(MEMORY_FRACTION),
  }
  if platform:
    environ['JAX_PLATFORMS'] = BACKENDS.get(platform, platform)
  return environ


def of_side(
  folder: pathlib.Path,
  is_ours: bool,
  module: str,
  platform: str = 'cpu',
  ppo: str = '',
  compiled: pathlib.Path | None = None,
) -> dict[str, str]:
  """The environment variables of one process.

  Args:
    folder: Of the peers' environment.
    is_ours: Whether the process is ours.
    module: Of the side.
    platform: Of both sides; peers use CUDA for 'gpu'.
    ppo: Folder of the TRL that has PPO; '' takes the one in `folder`.
    compiled: Where an accelerator's programs are kept from one process to the
      next.
  """
  environ = {
    **of_platform(platform),
    'TOKENIZERS_PARALLELISM': 'false',
    'HF_HUB_OFFLINE': '1',
    'TRL_EXPERIMENTAL_SILENCE': '1',
    PEER_DEVICE: 'cuda' if platform == 'gpu' else 'cpu',
  }
  if platform == 'gpu':  # one for both: trainers take all that they see
    seen = os.environ.get('CUDA_VISIBLE_DEVICES', '0')
    environ['CUDA_VISIBLE_DEVICES'] = seen.partition(',')[0]
  if platform != 'cpu' and compiled:  # rounds compile the same programs
    environ['JAX_COMPILATION_CACHE_DIR'] = str(compiled)
  if not is_ours and module == 'ppo':
    path = [ppo or str(folder / 'ppo'), os.environ.get('PYTHONPATH', '')]
    environ['PYTHONPATH'] = os.pathsep.join(filter(None, path))
  return environ


def python_of(
  folder: pathlib.Path, is_ours: bool, module: str, torch: str = ''
) -> str:
  """The interpreter of one process; `torch` is as of `make`."""
  if is_ours:
    return sys.executable
  if module.endswith('tunix'):
    return str(folder / 'tunix/bin/python')
  return torch or str(folder / 'bin/python')
