"""Every config file builds, and every script answers --help."""

import importlib
import itertools
import pathlib
import typing

import pytest

from configs import presets
from hh_jax import config as config_lib
from hh_jax.launch import cli
from hh_jax.models import sizes

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = sorted(
  path.stem
  for path in (ROOT / 'experiments').glob('*.py')
  if path.stem not in ('__init__', 'sweep')
)
WITH_WORLDS = [name for name in SCRIPTS if name != 'public']
WITH_STAGES = ('online', 'pipeline')  # whose data are those of their stages
CHOICES = list(
  itertools.product(('lab', 'hh'), (*sizes.SIZES, 'nano'), presets.SCALES)
)


def script_of(name):
  """A script's module and the dataclass it takes."""
  module = importlib.import_module(f'experiments.{name}')
  return module, typing.get_type_hints(module.main)['config']


def build(name, arg):
  module = importlib.import_module(f'configs.{name}')
  values = module.get_config(arg)
  return config_lib.from_config_dict(script_of(name)[1], values.to_dict())


def test_every_script_has_a_config_file():
  files = {path.stem for path in (ROOT / 'configs').glob('*.py')}
  assert files - {'__init__', 'presets'} == set(SCRIPTS)


@pytest.mark.parametrize('name', WITH_WORLDS)
def test_it_builds_for_every_world_size_and_scale(name):
  for world, size, scale in CHOICES:
    config = build(name, f'world={world},size={size},scale={scale}')
    data = config.pm.data if name in WITH_STAGES else config.data
    assert data.world == world
    if world == 'lab':
      made = [
        part.data.num_examples
        for part in (
          (config.pretrain, config.pm, config.distill, config.evaluate)
          if name == 'pipeline'
          else ()
        )
      ]
      assert all(made), 'the lab must be told how many to make'


@pytest.mark.parametrize('name', SCRIPTS)
def test_it_builds_without_arguments_and_refuses_wrong_ones(name):
  build(name, None)
  for arg, said in (
    ('size=nano9', 'nano9'),
    ('world=mars', 'mars'),
    ('scale=huge', 'huge'),
    ('sizes=nano', "did you mean 'size'"),
  ):
    if name not in WITH_WORLDS:
      said = 'argument .* is unknown'
    if name in ('pretrain', 'pipeline') or 'nano9' not in arg:
      with pytest.raises(ValueError, match=said):
        build(name, arg)


def test_a_model_is_as_large_as_its_name():
  for size in sizes.LADDER:
    model = build('pretrain', f'size={size}').model
    expected = sizes.model_config(size)
    assert model.num_block_params == expected.num_block_params


def test_batches_split_over_updates():
  for world, size, scale in itertools.product(
    ('lab', 'hh'), ('nano', '13m'), presets.SCALES
  ):
    config = build('rlhf', f'world={world},size={size},scale={scale}')
    assert config.data.batch_size % config.minibatches == 0
    room = config.data.row_length - config.sampling.max_new_tokens - 1
    assert room > config.sampling.max_new_tokens


@pytest.mark.parametrize('world', ['lab', 'hh'])
def test_all_stages_hold_out_the_same_conversations(world):
  config = build('pipeline', f'world={world}')
  fractions = {
    getattr(config, name).data.test_fraction
    for name in ('pm', 'pm_one_side', 'rejection', 'rlhf', 'evaluate')
  }
  assert len(fractions) == 1


@pytest.mark.parametrize('name', SCRIPTS)
def test_help_tells_usage_and_keys(name, capsys, monkeypatch):
  monkeypatch.chdir(ROOT)
  module, config_type = script_of(name)
  cli.run(module.main, config_type, [name, '--help'])
  text = capsys.readouterr().out
  assert text.startswith(module.__doc__.strip().splitlines()[0])
  assert f'configs/{name}.py' in text
  assert 'usage:' in text
  cli.run(
    module.main, config_type, [name, '--help', f'--config=configs/{name}.py']
  )
  key = {'online': 'seeds=(0,)', 'public': 'remat=False'}.get(name, 'seed=0')
  assert f'  --config.{key}\n' in capsys.readouterr().out
