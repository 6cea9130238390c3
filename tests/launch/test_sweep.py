"""From plain data to one line a trial."""

import dataclasses
import pathlib
import shlex

import pytest

from hh_jax.launch import checks
from hh_jax.launch import sweep as sweep_lib
from hh_jax.launch.sweep import Stage, Sweep
from tests.launch import trials


def test_a_stage_has_a_trial_for_all_that_it_and_those_before_it_vary():
  found = trials.expand()
  stages = [trial.stage for trial in found.values()]
  assert {name: stages.count(name) for name in stages} == {
    'pretrain': 4,
    'pmp': 4,
    'pm': 8,
  }
  policy = Stage('rlhf', {'policy_from': 'pretrain', 'pm_from': 'pm'})
  longer = dataclasses.replace(
    trials.CHAIN, stages=(*trials.CHAIN.stages, policy)
  )
  found = trials.expand(longer)
  assert len(found) == 24
  trial = found['rlhf-size=nano1-harmless_weight=4.0-seed=1']
  assert trial.starts == {
    'policy_from': 'pretrain-size=nano1-seed=1',
    'pm_from': 'pm-size=nano1-harmless_weight=4.0-seed=1',
  }
  assert not any('harmless_weight' in flag for flag in trial.flags[:-2])


def test_a_trial_is_one_line():
  trial = trials.expand(flags=['--config.lm_coef=0.5'])[
    'pm-size=nano0-harmless_weight=4.0-seed=1'
  ]
  assert trial.line() == (
    'python -m experiments.pm '
    '--config=configs/pm.py:world=lab,scale=smoke,size=nano0 '
    '--config.seed=1 --config.harmless_weight=4.0 '
    '--config.init_from=runs/sweep/pmp-size=nano0-seed=1 '
    '--config.lm_coef=0.5 '
    '--workdir=runs/sweep/pm-size=nano0-harmless_weight=4.0-seed=1'
  )
  assert shlex.split(trial.line()) == trial.command()


def test_each_trial_comes_after_those_it_starts_from():
  seen = set()
  for trial in trials.expand().values():
    assert set(trial.starts.values()) <= seen
    seen.add(trial.name)


def test_the_only_size_and_the_only_seed_go_unsaid():
  sweep = Sweep((Stage('pretrain'),), sizes=('nano0',), arguments=trials.SMOKE)
  assert list(trials.expand(sweep)) == ['pretrain']


def test_two_stages_of_one_script_have_names():
  sweep = Sweep(
    (
      Stage('pretrain'),
      Stage('pm', {'init_from': 'pretrain'}, name='without_pmp'),
      Stage('pmp', {'init_from': 'pretrain'}),
      Stage('pm', {'init_from': 'pmp'}),
    ),
    sizes=('nano0',),
  )
  found = trials.expand(sweep)
  assert found['without_pmp'].script == found['pm'].script == 'pm'
  assert found['without_pmp'].starts == {'init_from': 'pretrain'}


def test_fixed_values_of_a_size_are_those_of_its_trials_alone():
  sweep = dataclasses.replace(
    trials.CHAIN, by_size={'nano1': {'loop.mesh_data': 2}}
  )
  for trial in trials.expand(sweep).values():
    has_mesh = '--config.loop.mesh_data=2' in trial.flags
    assert has_mesh == (trial.axes['size'] == 'nano1')


def pretrain(**fields):
  return Sweep(**{'stages': (Stage('pretrain'),), 'sizes': ('a',), **fields})


@pytest.mark.parametrize(
  ('sweep', 'said'),
  [
    (pretrain(stages=(Stage('pretrian'),)), "did you mean 'pretrain'?"),
    (
      pretrain(stages=(Stage('pretrain'), Stage('pm', {'init_from': 'pmp'}))),
      "names 'pmp', which is no stage before it",
    ),
    (pretrain(stages=(Stage('pretrain'),) * 2), 'two stages of the sweep'),
    (pretrain(seeds=(0, 0)), 'two trials have the workdir w/pretrain-seed=0'),
    (pretrain(sizes='13m'), 'is not a list of values'),
    (pretrain(sizes=('a/b',)), "size='a/b' of a sweep cannot name a folder"),
    (pretrain(seeds=()), 'at least one stage, one size and one seed'),
    (
      pretrain(stages=(Stage('pretrain', varied={'seed': (1, 2)}),)),
      'varies seed; the sweep itself does that',
    ),
    (
      pretrain(
        stages=(
          Stage('pretrain', varied={'num_steps': (1, 2)}),
          Stage('pmp', {'init_from': 'pretrain'}, {'num_steps': (1, 3)}),
        )
      ),
      'varies num_steps over (1, 3), a stage that it starts from over (1, 2)',
    ),
  ],
)
def test_a_sweep_that_makes_no_sense(sweep, said):
  with pytest.raises(ValueError) as caught:
    sweep_lib.expand(sweep, 'w')
  assert said in str(caught.value)


def test_those_that_start_from_no_other_one_are_ready():
  everything = list(trials.expand().values())
  assert {t.stage for t in sweep_lib.ready(everything)} == {'pretrain'}
  rest = [trial for trial in everything if trial.stage != 'pretrain']
  assert {t.stage for t in sweep_lib.ready(rest)} == {'pmp'}


def test_folders_of_a_sweep_of_one_seed_are_not_passed_over(tmp_path):
  alone = trials.expand(
    dataclasses.replace(trials.CHAIN, seeds=(0,)), str(tmp_path)
  )
  several = list(trials.expand(workdir=str(tmp_path)).values())
  checks.require_names(several)
  before = pathlib.Path(alone['pretrain-size=nano0'].workdir)
  before.mkdir()
  (before / 'DONE').write_text('{}')
  checks.require_names(list(alone.values()))
  with pytest.raises(ValueError, match='rename it as what it is now, such as'):
    checks.require_names(several)
  before.rename(tmp_path / 'pretrain-size=nano0-seed=0')
  before.with_name('pretrain-size=nano0-seed=1').mkdir()
  checks.require_names(several)
