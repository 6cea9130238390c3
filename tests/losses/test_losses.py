"""What all losses share: sums, masks, float32, permutation, padding."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hh_jax.losses import distillation, lm, ppo, preference

ROWS, STORED = 8, 4

# Each takes [ROWS] or [ROWS, k] inputs and a mask last; first input trains.
LOSSES = {
  'lm': (lm.next_token_loss, 1, ()),
  'preference': (preference.pairwise_loss, 3, ()),
  'distillation': (
    lambda student, teacher, mask: distillation.bucketed_kl(
      teacher, student, mask
    ),
    2,
    (STORED,),
  ),
  'policy': (
    functools.partial(ppo.clipped_policy_loss, clip_range=0.2),
    3,
    (),
  ),
  'value': (functools.partial(ppo.clipped_value_loss, clip_range=0.3), 3, ()),
  'plain value': (
    functools.partial(ppo.clipped_value_loss, clip_range=0.0),
    3,
    (),
  ),
}
EACH = pytest.mark.parametrize('name', list(LOSSES))


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def inputs(name, rows=ROWS, seed=0):
  _, count, width = LOSSES[name]
  rng = np.random.default_rng(seed)
  arrays = -rng.uniform(0.2, 1.5, size=(count, rows, *width))
  if name == 'distillation':
    arrays -= 2.0  # so that the stored tokens leave mass for the rest
  return [jnp.asarray(a, jnp.float32) for a in arrays]


def assert_same(first, second):
  leaves, others = jax.tree.leaves(first), jax.tree.leaves(second)
  for got, want in zip(leaves, others, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def mask_of(rows=ROWS):
  return jnp.arange(rows) % 3 != 1


@EACH
def test_everything_is_a_float32_sum_with_its_weight(name):
  loss = LOSSES[name][0](*inputs(name), mask_of())
  assert loss.total.shape == loss.weight.shape == ()
  assert loss.total.dtype == loss.weight.dtype == jnp.float32
  assert float(loss.weight) == int(mask_of().sum())
  assert loss.metrics
  for metric in loss.metrics.values():
    assert metric.shape == (2,)
    assert metric.dtype == jnp.float32
    assert float(metric[1]) == float(loss.weight)


@EACH
def test_all_masked_is_zero_whatever_is_there(name):
  arrays = [jnp.full_like(a, jnp.nan) for a in inputs(name)]
  nothing = jnp.zeros(ROWS, bool)
  function = LOSSES[name][0]

  def total(first):
    return function(first, *arrays[1:], nothing).total

  loss = function(*arrays, nothing)
  value, grad = jax.value_and_grad(total)(arrays[0])
  assert float(value) == float(loss.weight) == 0.0
  assert (np.asarray(grad) == 0).all()
  for metric in loss.metrics.values():
    np.testing.assert_array_equal(metric, [0.0, 0.0])


@EACH
@pytest.mark.parametrize('junk', [1e4, -1e4, np.nan, np.inf])
def test_masked_entries_change_neither_loss_nor_gradient(name, junk):
  function, arrays, mask = LOSSES[name][0], inputs(name), mask_of()

  def run(arrays):
    return jax.value_and_grad(
      lambda first: function(first, *arrays[1:], mask).total
    )(arrays[0])

  dirty = [a.at[~np.asarray(mask)].set(junk) for a in arrays]
  clean_value, clean_grad = run(arrays)
  value, grad = run(dirty)
  np.testing.assert_array_equal(value, clean_value)
  np.testing.assert_array_equal(grad, clean_grad)
  assert (np.asarray(grad)[~np.asarray(mask)] == 0).all()


@EACH
def test_padding_changes_nothing(name):
  function, arrays, mask = LOSSES[name][0], inputs(name), mask_of()
  wide = [jnp.concatenate([a, 7.0 + a[:3]]) for a in arrays]
  padded = function(*wide, jnp.pad(mask, (0, 3)))
  plain = function(*arrays, mask)
  assert_same(padded, plain)


@EACH
@pytest.mark.slow
def test_halves_add_up_to_the_whole(name):
  function, arrays, mask = LOSSES[name][0], inputs(name), mask_of()
  first = function(*(a[:5] for a in arrays), mask[:5])
  second = function(*(a[5:] for a in arrays), mask[5:])
  summed = jax.tree.map(jnp.add, first, second)
  assert_same(summed, function(*arrays, mask))


@EACH
def test_order_does_not_matter(name):
  function, arrays, mask = LOSSES[name][0], inputs(name), mask_of()
  order = np.random.default_rng(1).permutation(ROWS)
  moved = function(*(a[order] for a in arrays), mask[order])
  assert_same(moved, function(*arrays, mask))


@EACH
def test_gradients_are_finite_differences(name):
  function, arrays, mask = LOSSES[name][0], inputs(name, seed=3), mask_of()

  @jax.jit
  def total(*arrays):
    return function(*arrays, mask).total

  jax.test_util.check_grads(total, arrays, 1, atol=2e-2, rtol=2e-2, eps=1e-3)


@EACH
@pytest.mark.parametrize('size', [1e4, -1e4])
def test_extreme_inputs_stay_finite(name, size):
  function, arrays = LOSSES[name][0], inputs(name)
  arrays = [arrays[0].at[0].set(size), *arrays[1:]]

  def total(first):
    return function(first, *arrays[1:], jnp.ones(ROWS, bool)).total

  value, grad = jax.value_and_grad(total)(arrays[0])
  assert np.isfinite(value)
  assert np.isfinite(grad).all()


@EACH
def test_one_entry(name):
  function = LOSSES[name][0]
  arrays = inputs(name, rows=1)
  loss = function(*arrays, jnp.ones(1, bool))
  assert float(loss.weight) == 1.0
  assert np.isfinite(loss.total)


@EACH
def test_metrics_carry_no_gradient(name):
  function, arrays, mask = LOSSES[name][0], inputs(name), mask_of()

  def metrics(first):
    values = function(first, *arrays[1:], mask).metrics.values()
    return sum(jnp.sum(v) for v in values)

  assert (np.asarray(jax.grad(metrics)(arrays[0])) == 0).all()
