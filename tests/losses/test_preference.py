"""Preference loss: closed forms, ties, weights."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.losses import preference


def loss_of(chosen, rejected, weight=None, mask=None):
  count = len(chosen)
  return preference.pairwise_loss(
    jnp.asarray(chosen, jnp.float32),
    jnp.asarray(rejected, jnp.float32),
    jnp.asarray(weight or [1.0] * count, jnp.float32),
    jnp.asarray(mask or [True] * count),
  )


def test_equal_scores_cost_log_two_and_count_half():
  loss = loss_of([0.7], [0.7])
  assert float(loss.total) == pytest.approx(math.log(2))
  np.testing.assert_array_equal(loss.metrics['pm/accuracy'], [0.5, 1.0])


def test_probability_is_the_logistic_of_the_margin():
  loss = loss_of([2.0], [0.5])
  assert math.exp(-float(loss.total)) == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_metrics_by_hand():
  loss = loss_of([1, 0, 2, 9], [0, 3, 2, 0], mask=[True, True, True, False])
  np.testing.assert_allclose(loss.metrics['pm/accuracy'], [1.5, 3])
  np.testing.assert_allclose(loss.metrics['pm/margin'], [-2, 3])
  np.testing.assert_allclose(
    loss.metrics['pm/loss'], [float(loss.total), 3], rtol=1e-6
  )


def test_weight_multiplies_the_loss_and_not_the_denominator():
  plain = loss_of([1.0, 0.0], [0.0, 1.0])
  weighted = loss_of([1.0, 0.0], [0.0, 1.0], weight=[2.0, 3.0])
  want = 2 * math.log1p(math.exp(-1)) + 3 * math.log1p(math.exp(1))
  assert float(weighted.total) == pytest.approx(want)
  assert float(weighted.weight) == float(plain.weight) == 2
  np.testing.assert_array_equal(
    weighted.metrics['pm/accuracy'], plain.metrics['pm/accuracy']
  )
