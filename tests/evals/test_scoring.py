import numpy as np
import pytest

from hh_jax.evals import scoring
from tests.stages import toys

K = 3


@pytest.fixture(scope='module')
def candidates():
  """Prompts and `K` replies to each; the first tree is the widest."""
  rng = np.random.default_rng(0)
  prompts = [toys.draw_ids(rng, 5, 40) for _ in range(7)]
  replies = [[toys.draw_ids(rng, 1, 20) for _ in range(K)] for _ in prompts]
  replies[2][1] = toys.ids()
  return prompts, replies


@pytest.fixture(scope='module')
def alone(candidates):
  """The score of every reply read by itself, [7, K]."""
  params = toys.pm_params()
  return np.array(
    [
      [toys.plain_score(prompt, reply, params) for reply in group]
      for prompt, group in zip(*candidates, strict=True)
    ]
  )


def score(prompts, replies):
  return scoring.score_candidates(
    toys.MODEL, toys.pm_params(), toys.TOKENIZER, prompts, replies
  )


@pytest.mark.parametrize(
  'sizes',
  [
    {},
    {'NUM_ITEMS': 3},  # several batches, the last one short
    {'TOKENS': 128, 'ROW_LENGTH': 128},  # a row at a time
    {'TOKENS': 256, 'ROW_LENGTH': 64, 'ROW_MULTIPLE': 32, 'DENSE_LIMIT': 64},
  ],
)
def test_scores_are_those_of_each_reply_alone(
  candidates, alone, sizes, monkeypatch
):
  for name, size in sizes.items():
    monkeypatch.setattr(scoring, name, size)
  found = score(*candidates)
  np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-5)
  assert np.ptp(alone) > 0.05


def test_a_prompt_with_fewer_replies_scores_zero_for_the_absent(
  candidates, alone
):
  prompts, replies = candidates
  found = score(prompts, [replies[0][:1], *replies[1:]])
  np.testing.assert_allclose(found[1:], alone[1:], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(found[0, 0], alone[0, 0], rtol=1e-5, atol=1e-5)
  assert not found[0, 1:].any()


def test_nothing_has_no_scores():
  assert score([], []).shape == (0, 1)


def test_a_row_holds_a_whole_tree_up_to_the_longest_dense_row(monkeypatch):
  lengths = []
  real = scoring.score_trees

  def spy(model, params, items, row_length, num_candidates):
    lengths.append(row_length)
    return real(model, params, items, row_length, num_candidates)

  monkeypatch.setattr(scoring, 'score_trees', spy)
  monkeypatch.setattr(scoring, 'ROW_LENGTH', 32)
  monkeypatch.setattr(scoring, 'ROW_MULTIPLE', 8)
  monkeypatch.setattr(scoring, 'DENSE_LIMIT', 128)
  prompt, reply = np.full(10, 5, np.int32), np.full(9, 6, np.int32)
  for count in (1, 4, 40):
    score([prompt], [[reply] * count])
  score([np.full(200, 5, np.int32)], [[reply]])
  assert lengths[:3] == [32, 64, 128]
  assert lengths[3] >= 200 + 9 and lengths[3] % 8 == 0
