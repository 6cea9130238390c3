"""One PPO rollout as TRL 1.12.0 trained on it; golden/make_trl_ppo.py.

1. On replies of full length both do the same: rewards, advantages, three
   updates, and the weights at the end.
2. On replies that ended early they differ by design: TRL puts the score on
   the pad after end-of-text and trains the value there; here the score is on
   end-of-text, the last token of the reply, and nothing lies behind it.
3. Where a name means different things, ours is recomputed from TRL's
   log-probs, TRL's as it defines it, and the two are related: its clip
   fractions count losses that the clip changed, its approximate KL is half the
   squared log-ratio, its whitening divides by N - 1.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.losses import ppo
from hh_jax.models import heads
from hh_jax.ops import arrays
from hh_jax.stages import ppo_step
from tests.parity.trl_rollout import (
  CONFIG,
  EPOCHS,
  NETWORKS,
  NUM,
  REPLY,
  forward,
  golden,
  mean_over_passes,
  network,
  networks,
  packed,
  replies,
  trained,
)

pytestmark = pytest.mark.slow


def test_the_rollout_is_the_same():
  whole, _, _, _ = trained('full')
  said = golden('full')
  kl = np.asarray(whole.log_probs - whole.ref_log_probs).sum(1).mean()
  assert abs(said['metric/objective/kl']) > 0.01
  np.testing.assert_allclose(kl, said['metric/objective/kl'], atol=1e-5)
  np.testing.assert_allclose(
    whole.scores.mean(), said['metric/objective/scores'], atol=1e-5
  )
  np.testing.assert_allclose(
    -np.asarray(whole.log_probs).sum(1).mean(),
    said['metric/objective/entropy'],
    rtol=1e-5,
  )


def test_advantages_before_whitening_are_the_same():
  whole = trained('full')[0]
  plain = dataclasses.replace(CONFIG, whiten_advantages=False)
  goal, _ = ppo_step.make_targets(plain)(whole, jnp.float32(0))
  np.testing.assert_allclose(
    goal.advantages, golden('full')['advantages'], atol=2e-5
  )


@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [
    ('ppo/policy_loss', 'loss/policy_avg'),
    ('ppo/value_loss', 'loss/value_avg'),
    ('ppo/ratio', 'val/ratio'),
    ('ppo/entropy', 'policy/entropy_avg'),
  ],
)
def test_three_updates_report_the_same(ours, theirs):
  found = mean_over_passes('full', lambda metrics, *_: metrics[ours])
  said = golden('full')[f'metric/{theirs}']
  np.testing.assert_allclose(found, said, atol=2e-5, rtol=2e-5)


def log_ratios():
  """Of each pass, from TRL's own log-probs, in float64."""
  said = golden('full')
  old = said['log_probs/old'].astype(np.float64)
  return np.stack([said[f'log_probs/{k}'] - old for k in range(EPOCHS)])


def own_mean(metric):
  return mean_over_passes('full', lambda metrics, *_: metrics[metric])


def test_log_probs_are_the_same():
  whole, _, _, passes = trained('full')
  said = golden('full')
  for ours, theirs in (
    (whole.log_probs, 'old'),
    (whole.ref_log_probs, 'ref'),
    (passes[0][1], '0'),
  ):
    np.testing.assert_allclose(ours, said[f'log_probs/{theirs}'], atol=1e-5)
  for number in (1, 2):  # after updates
    np.testing.assert_allclose(
      passes[number][1], said[f'log_probs/{number}'], atol=1e-4
    )


def test_approximate_kl_and_half_the_squared_log_ratio_of_trl():
  """Both are ½ x² + O(x³) in x = log ρ."""
  x = log_ratios()
  ours = own_mean('ppo/approx_kl')
  theirs = golden('full')['metric/policy/approxkl_avg']
  np.testing.assert_allclose(ours, (np.expm1(x) - x).mean(), rtol=1e-4)
  np.testing.assert_allclose(theirs, 0.5 * np.square(x).mean(), rtol=1e-5)
  cubes = (np.abs(x) ** 3 * np.exp(np.maximum(x, 0))).mean() / 6
  assert 1e-3 < abs(ours - theirs) < cubes


def test_clip_fraction_and_the_share_of_changed_losses_of_trl():
  """TRL counts a ratio outside only where the clip changes the loss."""
  distance = np.exp(log_ratios()) - 1
  assert np.abs(np.abs(distance) - CONFIG.clip_range).min() > 1e-4
  is_outside = np.abs(distance) > CONFIG.clip_range
  _, goal, _, _ = trained('full')
  is_changed = is_outside & (distance * np.asarray(goal.advantages)[None] > 0)
  said = golden('full')['metric/policy/clipfrac_avg']
  np.testing.assert_allclose(
    own_mean('ppo/clip_fraction'), is_outside.mean(), atol=1e-6
  )
  np.testing.assert_allclose(said, is_changed.mean(), atol=1e-6)
  assert 0.05 < said < is_outside.mean(), 'the clip must bind'


def test_value_clip_fraction_and_the_share_of_changed_errors_of_trl():
  """TRL counts a value outside only where the clip raises its error."""
  _, goal, _, passes = trained('full')
  old, returns = (
    np.asarray(x, np.float64) for x in (goal.values, goal.returns)
  )
  values = np.stack([values for _, _, values in passes]).astype(np.float64)
  move = values - old
  assert np.abs(np.abs(move) - CONFIG.value_clip).min() > 1e-5
  is_outside = np.abs(move) > CONFIG.value_clip
  held = old + np.clip(move, -CONFIG.value_clip, CONFIG.value_clip)
  is_changed = np.square(held - returns) > np.square(values - returns)
  said = golden('full')['metric/val/clipfrac_avg']
  np.testing.assert_allclose(
    own_mean('ppo/value_clip_fraction'), is_outside.mean(), atol=1e-6
  )
  np.testing.assert_allclose(said, is_changed.mean(), atol=1e-6)
  assert 0.05 < said <= is_outside.mean()
  assert (is_outside | ~is_changed).all()


def test_rewards_add_up_to_those_trl_reports():
  whole = trained('full')[0]
  said = golden('full')

  def sum_of_rewards(scores):
    rewards = ppo.token_rewards(
      scores,
      whole.log_probs,
      whole.ref_log_probs,
      whole.mask,
      CONFIG.kl_coef,
    )
    return rewards.sum(1).mean()

  nothing = jnp.zeros(NUM, jnp.float32)
  np.testing.assert_allclose(
    sum_of_rewards(nothing),
    said['metric/objective/non_score_reward'],
    atol=1e-6,
  )
  np.testing.assert_allclose(
    sum_of_rewards(whole.scores),
    said['metric/objective/rlhf_reward'],
    atol=1e-5,
  )
  _, metrics = ppo_step.make_targets(CONFIG)(whole, jnp.float32(0))
  np.testing.assert_allclose(
    -CONFIG.kl_coef * metrics['rollout/kl_k1'],
    said['metric/objective/non_score_reward'],
    atol=1e-6,
  )


def without_noise(params):
  """Without TRL's missing head bias, and without the biases of keys.

  Most of a key's bias moves all scores of a query alike and has no gradient;
  Adam makes full steps of the rounding error that it has instead.
  """
  key = {'kernel': params['blocks']['key']['kernel']}
  blocks = {**params['blocks'], 'key': key}
  head = params.get('score_head', {'kernel': np.ones(1)})
  return {**params, 'blocks': blocks, 'score_head': {'kernel': head['kernel']}}


@pytest.mark.parametrize('role', ['policy', 'value'])
def test_the_weights_after_three_updates(role):
  _, _, state, _ = trained('full')
  after = network(golden('full'), f'after/{role}')
  ours, before = state.params[role], networks('full')[0][role]
  ours, after, before = map(without_noise, (ours, after, before))

  def error(ours, theirs):
    gap = np.linalg.norm(np.asarray(ours, np.float64) - theirs)
    return gap / max(np.linalg.norm(theirs), 1e-3)  # one bias stays at zero

  moved = jax.tree.map(error, before, after)
  assert max(jax.tree.leaves(moved)) > 0.01
  errors = jax.tree.map(error, ours, after)
  assert max(jax.tree.leaves(errors)) <= 1e-4, errors


def test_an_ended_reply_has_its_score_on_the_end_and_trl_on_the_pad_behind():
  whole, _, _, _ = trained('ended')
  given, said = replies('ended'), golden('ended')
  early = given.num_tokens < REPLY
  assert 0 < early.sum() < NUM
  rewards = ppo.token_rewards(
    whole.scores,
    whole.log_probs,
    whole.ref_log_probs,
    whole.mask,
    CONFIG.kl_coef,
  )
  # With the value of everything taken as known, the last advantage is the
  # last reward less the last value; TRL's is still without the score there.
  for e in np.flatnonzero(early):
    last = given.num_tokens[e] - 1
    value, score = float(whole.values[e, last]), float(whole.scores[e])
    penalty = float(rewards[e, last]) - score
    after = trl_value_behind(e)
    behind = score - after
    expected = penalty + 0.97 * after - value + 0.97 * 0.9 * behind
    np.testing.assert_allclose(said['advantages'][e, last], expected, atol=2e-5)
  np.testing.assert_array_equal(said['mask'], given.mask)


def trl_value_behind(e):
  """What TRL's value network says at end-of-text, the state behind it."""
  batch, (params, _) = packed('ended'), networks('ended')
  hidden = forward(NETWORKS.value, params['value'], batch.packed).hidden
  index = batch.reply_index[e, replies('ended').num_tokens[e] - 1]
  state = arrays.gather_positions(hidden, index[None])
  return float(heads.values(params['value'], state)[0])
