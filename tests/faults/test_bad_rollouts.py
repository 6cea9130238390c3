"""NaN and infinity before any update: while sampling and while judging.

A rollout that holds one number that is not finite changes no bit of the state
and names itself; a policy that has become NaN samples tokens all the same, and
its run ends with exit code 3.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import DataConfig
from hh_jax.stages import (
  policy_points,
  ppo_iteration,
  ppo_step,
  rlhf,
  rollout,
)
from hh_jax.training import checkpoint, exit_codes, soundness
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import state as state_lib
from tests.stages import rollouts, test_ppo_step, toys

pytestmark = pytest.mark.slow

NUM = test_ppo_step.NUM
CONFIG = dataclasses.replace(
  test_ppo_step.CONFIG,
  data=DataConfig(batch_size=NUM, row_length=128, test_fraction=0.3),
  num_prompts=8,
  center_scores=False,
  num_iterations=8,
  eval_every=8,
  eval_prompts=4,
)


def spoil(tree, bad):
  """The tree with one bad number in every leaf."""
  return jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(bad), tree)


def iterate(state, frozen, replies):
  """Judges, and learns once; the state, and the row the loop would write."""
  score = test_ppo_step.make_score(is_again=False)
  read = score(state.params, frozen, test_ppo_step.pack(range(NUM)))
  whole, _ = ppo_iteration.as_rollout(replies, [read])
  goal, judged = ppo_step.make_targets(test_ppo_step.CONFIG)(
    whole, jnp.float32(0)
  )
  step, _ = test_ppo_step.make_update()
  state, learnt = step(state, test_ppo_step.pack((4, 1, 3), 3), goal)
  return state, metrics_lib.to_numbers({**judged, **learnt})


def with_bad_log_prob(replies, bad):
  log_probs = replies.log_probs.copy()
  log_probs[4, 0] = bad
  return dataclasses.replace(replies, log_probs=log_probs)


def hashes(state):
  parts = state.params, state.opt_state
  return [state_lib.state_sha256(part) for part in parts]


def test_a_sound_rollout_is_learnt_from():
  _, state = test_ppo_step.make_update()
  _, frozen = test_ppo_step.networks()
  before = hashes(state)
  state, row = iterate(state, frozen, rollouts.sampled(NUM))
  assert not soundness.faults(row)
  assert row['train/skipped'] == 0
  assert hashes(state) != before


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', ['reference', 'pm', 'values', 'log_probs'])
def test_a_bad_number_in_a_rollout_changes_nothing_and_is_named(place, bad):
  _, state = test_ppo_step.make_update()
  _, frozen = test_ppo_step.networks()
  replies = rollouts.sampled(NUM)
  if place == 'log_probs':
    replies = with_bad_log_prob(replies, bad)
  elif place == 'values':
    value = spoil(state.params['value'], bad)
    state = state.replace(params={**state.params, 'value': value})
  else:
    frozen = {**frozen, place: spoil(frozen[place], bad)}
  before = hashes(state)
  state, row = iterate(state, frozen, replies)
  assert hashes(state) == before
  assert row['train/skipped'] == 1
  assert soundness.faults(row)
  counter = soundness.BadSteps('rlhf', 2)
  counter.look(1, row)
  with pytest.raises(SystemExit) as caught:
    counter.look(2, row)
  assert caught.value.code == exit_codes.UNSOUND == 3


def test_a_run_of_a_policy_of_nan_ends_with_code_3(
  tmp_path, monkeypatch, capsys
):
  sampled = []
  monkeypatch.setattr(
    rollout,
    'sample',
    lambda *args, sample=rollout.sample: (
      sampled.append(sample(*args)) or sampled[-1]
    ),
  )
  policy = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), toys.params())
  toys.stand_in(
    monkeypatch,
    policy=toys.as_run(policy, 'distill'),
    pm=toys.as_run(toys.pm_params(), 'pm'),
  )
  monkeypatch.setattr(policy_points, 'BATCH_SIZE', 4)
  config = dataclasses.replace(CONFIG, policy_from='policy', pm_from='pm')
  with pytest.raises(SystemExit) as caught:
    rlhf.run(config, tmp_path)
  assert caught.value.code == exit_codes.UNSOUND
  said = capsys.readouterr().err
  assert 'error: rlhf: step 3 is bad step 3 in a row' in said
  rows = metrics_lib.read_metrics(tmp_path)
  assert [row['train/skipped'] for row in rows] == [1, 1, 1]
  assert all(math.isnan(row['ppo/policy_loss']) for row in rows)
  assert not checkpoint.published_steps(tmp_path)
  assert not (tmp_path / 'DONE').exists()
  assert len(sampled) >= 4, 'the point before, and an iteration each'
  for replies in sampled:
    assert (replies.num_tokens > 0).all()
    assert (replies.tokens < toys.TOKENIZER.vocab_size).all()
    assert np.isnan(replies.log_probs[replies.mask]).all()
