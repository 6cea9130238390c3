"""Policies of figures: what they start from, and what they share."""

import dataclasses

import pytest

from configs.figures import fig01, fig04, fig14
from hh_jax import config as config_lib
from hh_jax.data.comparisons import ComparisonSet
from hh_jax.stages import (
  distill,
  held_out,
  pm,
  pmp,
  policy_lineage,
  pretrain,
  rejection,
  rlhf,
  worlds,
)
from tests.stages import toys

SMOKE = 'world=lab,size=nano1,scale=smoke'
STAGES = {
  'pretrain': pretrain,
  'distill': distill,
  'pmp': pmp,
  'pm': pm,
  'rlhf': rlhf,
  'rejection': rejection,
}


def config_of(module=fig04, kind=config_lib.RobustnessConfig):
  return config_lib.from_config_dict(kind, module.get_config(SMOKE).to_dict())


@pytest.fixture
def trained(monkeypatch):
  return toys.train_nothing(monkeypatch, **STAGES)


def lines(tmp_path, config=None):
  config = config or config_of()
  return [
    policy_lineage.of_size(config, size, tmp_path)[0] for size in config.sizes
  ]


def test_a_policy_starts_from_its_own_size_and_any_preference_model(
  trained, tmp_path
):
  small, large = lines(tmp_path)
  folder = small.policy(large.half_pm('train'), harmless_fraction=0.25)
  stage, config = trained[folder]
  assert stage == 'rlhf' and folder.name.startswith('rlhf-nano0-0-')
  assert config.policy_from == str(small.distilled())
  assert config.pm_from == str(large.half_pm('train'))
  assert config.harmless_fraction == 0.25
  found = small.candidates(folder, large.half_pm('test'), k=3)
  assert trained[found][1].policy_from == str(folder)
  assert trained[found][1].k == 3


def test_what_rewards_a_policy_is_part_of_its_name(trained, tmp_path):
  small, large = lines(tmp_path)
  names = {
    small.policy(small.half_pm('train')).name,
    small.policy(large.half_pm('train')).name,
    small.policy(small.half_pm('test')).name,
    small.policy(small.half_pm('train'), harmless_fraction=0.0).name,
  }
  assert len(names) == 4
  folder = small.policy(small.half_pm('train'), has_course=False)
  assert folder.name not in names
  config = trained[folder][1]
  assert (config.eval_every, config.eval_first) == (config.num_iterations, 0)
  assert small.policy(small.half_pm('train')).name in names


def test_figures_share_policies(trained, tmp_path):
  large = lines(tmp_path)[-1]
  others = [
    lines(tmp_path, config_of(fig01, config_lib.EloConfig))[-1],
    lines(tmp_path, config_of(fig14, config_lib.TensionConfig))[-1],
  ]
  for other in others:
    pair = [line.policy(line.half_pm('train')) for line in (large, other)]
    assert pair[0] == pair[1]


def test_halves_are_of_other_conversations_and_one_test_part(
  monkeypatch, tmp_path
):
  made = ComparisonSet.from_list(toys.comparisons(120, 80))
  monkeypatch.setattr(worlds, 'comparisons', lambda data, seed: made)
  held_out.parts.cache_clear()
  line = lines(tmp_path)[0]
  data = line.config.pm.data
  parts = {
    half: held_out.parts_of(line, policy_lineage.half_of(data, half))
    for half in policy_lineage.SPANS
  }
  held_out.parts.cache_clear()
  (train, held), (test, same) = parts['train'], parts['test']
  firsts = [{c.prompt.first_human for c in part} for part in (train, test)]
  assert not firsts[0] & firsts[1]
  assert held == same and len(train) + len(test) + len(held) == 200
  assert min(len(train), len(test)) > 50
  assert not (firsts[0] | firsts[1]) & {c.prompt.first_human for c in held}


@pytest.mark.parametrize(
  'change, said',
  [
    ({'compared_at': 1.5}, r'compared_at=1.5 is outside'),
    ({'seeds': (0, 0)}, 'more than once'),
  ],
)
def test_what_a_config_refuses(change, said):
  with pytest.raises(ValueError, match=said):
    dataclasses.replace(config_of(), **change)


def test_stages_that_hold_out_other_conversations_are_refused():
  config = config_of()
  data = dataclasses.replace(config.rlhf.data, test_fraction=0.4)
  other = dataclasses.replace(config.rlhf, data=data)
  with pytest.raises(
    ValueError, match=r'rlhf\.data\.test_fraction=0\.4 and pm'
  ):
    dataclasses.replace(config, rlhf=other)
