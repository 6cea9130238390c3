"""Every sweep file builds, and its trials pass the checks."""

import pathlib

import pytest

from hh_jax.launch import checks, cli
from hh_jax.launch import sweep as sweep_lib

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted(
  path
  for path in (ROOT / 'experiments' / 'sweeps').glob('*.py')
  if path.stem not in ('__init__', 'chain')
)
CHOICES = (
  'size=nano',
  'size=nano0,scale=smoke',
  'size=52b',
  'size=13b,seeds=2',
)


@pytest.mark.parametrize('world', ['lab', 'hh'])
@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_it_builds_for_every_world_and_size(file, world):
  for choice in CHOICES:
    sweep = cli.call(f'{file}:world={world},{choice}', 'sweep')
    trials, configs = checks.parse(sweep_lib.expand(sweep, 'runs/sweep'))
    checks.check(trials, configs, sees_files=False)
    assert len(trials) >= 5
    assert {config.data.world for config in configs.values()} == {world}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_its_docstring_gives_its_command(file):
  text = file.read_text()
  assert f'--sweep=experiments/sweeps/{file.stem}.py:world=' in text
  assert f'--workdir=runs/{file.stem}' in text


def test_the_ladder_grows_its_meshes():
  path = ROOT / 'experiments' / 'sweeps' / 'ladder.py'
  sweep = cli.call(f'{path}:world=hh,size=52b', 'sweep')
  trials, _ = checks.parse(sweep_lib.expand(sweep, 'runs/sweep'))
  sizes = {trial.axes['size']: trial.num_devices for trial in trials}
  assert list(sizes) == ['13m', '42m', '197m', '810m', '2.7b', '13b', '52b']
  assert list(sizes.values()) == sorted(sizes.values())
  assert sizes['52b'] == 512
