"""Mean log-probabilities of replies beside a plain forward pass."""

import numpy as np

from hh_jax.evals import likelihood
from tests.stages import toys

LONGEST = 60


def plain(prompt, reply):
  whole = np.concatenate([prompt, reply])[-LONGEST:]
  count = min(len(reply), len(whole) - 1)
  # Entry t is the log-probability of the token after t.
  log_probs = toys.plain_log_probs(whole, toys.params())
  rows = np.arange(len(whole) - count - 1, len(whole) - 1)
  return log_probs[rows, whole[rows + 1]].mean()


def test_they_equal_a_plain_forward_of_each_text():
  rng = np.random.default_rng(0)
  prompts = [toys.draw_ids(rng, 2, 30) for _ in range(20)]
  replies = [toys.draw_ids(rng, 1, 20) for _ in range(20)]
  prompts.append(toys.draw_ids(rng, 70, 80))  # cut
  replies.append(toys.draw_ids(rng, 5, 6))
  found = likelihood.mean_log_probs(
    toys.MODEL, toys.params(), prompts, replies, LONGEST
  )
  expected = [plain(*pair) for pair in zip(prompts, replies, strict=True)]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert np.ptp(expected) > 0.05
