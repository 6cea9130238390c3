"""Every sweep file builds, and its trials pass the checks."""

import dataclasses
import math
import pathlib

import pytest

from experiments.sweeps import chain
from hh_jax.launch import checks, cli, plan
from hh_jax.launch import sweep as sweep_lib
from hh_jax.planning import ledger, meshes, topology
from hh_jax.training import fingerprint

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted(
  path
  for path in (ROOT / 'experiments' / 'sweeps').glob('*.py')
  if path.stem not in ('__init__', 'ablation', 'chain')
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


def test_every_stage_of_the_ladder_fits_on_its_mesh_on_paper():
  memory = topology.parse('v5p:2x2x1').chip.memory
  too_large = []
  for size, (fsdp, tensor) in chain.MESHES.items():
    for stage in plan.STAGES:
      path = ROOT / 'configs' / f'{stage}.py'
      config, model = plan.read_config(f'{path}:size={size},world=hh', [])
      load = meshes.load_of(config, model)
      assert load.rows % fsdp == 0
      if ledger.memory(load, ledger.Mesh(1, fsdp, tensor)) > memory:
        too_large.append((size, stage))
  assert too_large == [('52b', 'pretrain')]


# Sweeps that turn one knob of RLHF: what it is, and the values it takes.
KNOBS = {
  'passes': {'passes': (1, 2, 4)},
  'penalties': {'kl_coef': (0.0, 0.001, 0.01, 0.1)},
  'rewards': {'whiten_rewards': (False, True)},
  'value_init': {'value_init': ('pm', 'policy')},
  'critics': {'share_trunk': (False, True)},
  'lengths': {'sampling.max_new_tokens': (16, 24, 40)},
  'endings': {'missing_eot_score': ('pm', 'fixed')},
  'schedules': {
    'lr_halving': (0, 10_240),
    'optimizer.warmup_steps': (0, 160),
  },
}


@pytest.mark.parametrize('name', KNOBS)
def test_an_ablation_differs_in_its_knob_and_is_judged_by_another_pm(name):
  file = ROOT / 'experiments' / 'sweeps' / f'{name}.py'
  sweep = cli.call(f'{file}:world=lab,size=nano,seeds=2', 'sweep')
  trials, configs = checks.parse(sweep_lib.expand(sweep, 'runs/sweep'))
  policies = [trial for trial in trials if trial.stage == 'rlhf']
  knobs = KNOBS[name]
  assert len(policies) == 2 * math.prod(len(own) for own in knobs.values())
  flat = [
    fingerprint.flatten(dataclasses.asdict(configs[t.name])) for t in policies
  ]
  differing = {
    key for key in flat[0] if len({repr(own[key]) for own in flat}) > 1
  }
  assert differing == {
    *knobs,
    'seed',
    'policy_from',
    'pm_from',
    'held_out_pm_from',
  }
  for key, values in knobs.items():
    assert {own[key] for own in flat} == set(values)
  halves = {
    trial.stage: (
      configs[trial.name].data.span_start,
      configs[trial.name].data.span_end,
    )
    for trial in trials
    if trial.script == 'pm'
  }
  assert halves == {'pm': (0.0, 0.5), 'held_out_pm': (0.5, 1.0)}
