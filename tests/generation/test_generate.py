import dataclasses

import jax
import numpy as np
import pytest

from hh_jax.config import ModelConfig, SamplingConfig
from hh_jax.generation import best_of_k, decode
from hh_jax.generation import plan as plan_lib
from hh_jax.models import ladder

CONFIG = ModelConfig(
  num_layers=2,
  model_dim=16,
  num_heads=2,
  vocab_size=13,
  init_std=0.5,
)
MODEL = ladder.build(CONFIG)
SAMPLING = SamplingConfig(max_new_tokens=20, slots=5)
RNG = np.random.default_rng(0)
PROMPTS = [
  RNG.integers(3, 13, n) for n in (4, 40, 1, 33, 9, 32, 2, 70, 5, 6, 7)
]
IDS = np.arange(11) + 100


@pytest.fixture(scope='module')
def params():
  return ladder.init(MODEL, jax.random.key(0))


def generate(params, prompts=PROMPTS, ids=IDS, sampling=SAMPLING, **more):
  return decode.generate(
    MODEL, params, prompts, ids, jax.random.key(3), sampling, **more
  )


@pytest.fixture(scope='module')
def baseline(params):
  return generate(params)


def assert_same(left, right):
  np.testing.assert_array_equal(left.tokens, right.tokens)
  np.testing.assert_array_equal(left.num_tokens, right.num_tokens)
  np.testing.assert_array_equal(left.has_eot, right.has_eot)
  np.testing.assert_allclose(left.log_probs, right.log_probs, atol=1e-4)


@pytest.mark.parametrize('slots', [2, 16])
@pytest.mark.slow
def test_slots_change_no_sample(params, baseline, slots):
  assert len(np.unique(baseline.num_tokens)) > 2  # slots free up at odd times
  sampling = dataclasses.replace(SAMPLING, slots=slots)
  assert_same(generate(params, sampling=sampling), baseline)


@pytest.mark.slow
def test_chunk_and_group_sizes_change_no_sample(params, baseline, monkeypatch):
  monkeypatch.setattr(decode, 'CHUNK_STEPS', 3)
  monkeypatch.setattr(plan_lib, 'NUM_GROUPS', 2)
  assert_same(generate(params), baseline)


def test_order_of_prompts_changes_no_sample(params, baseline):
  order = np.random.default_rng(1).permutation(11)
  moved = generate(params, [PROMPTS[i] for i in order], IDS[order])
  np.testing.assert_array_equal(moved.tokens, baseline.tokens[order])
  other = generate(params, ids=IDS + 1)
  assert (other.tokens != baseline.tokens).any(axis=1).sum() > 8


@pytest.mark.slow
def test_stop_sequences_hold_only_at_turns(params, baseline):
  marker = [int(t) for t in baseline.tokens[0, 1:2]]
  cut = generate(params, stop_sequences=[marker])
  assert cut.num_tokens[0] <= 1
  assert (cut.num_tokens <= baseline.num_tokens).all()
  ignoring = dataclasses.replace(SAMPLING, stop_at_turn=False)
  whole = generate(params, sampling=ignoring, stop_sequences=[marker])
  assert_same(whole, baseline)


def test_few_programs_are_compiled_and_then_reused(params, baseline):
  del baseline  # compiled what is needed
  counts = decode.decode._cache_size(), decode.read_prompts._cache_size()
  shorter = [prompt[: max(1, len(prompt) - 1)] for prompt in PROMPTS]
  shorter[7] = PROMPTS[7]  # keeps the bucket of the longest
  generate(params, shorter)
  assert decode.decode._cache_size() <= counts[0] + 1
  assert decode.read_prompts._cache_size() <= counts[1] + 1


def test_progress_counts_up_to_all(params):
  seen = []
  generate(params, progress=lambda done, total: seen.append((done, total)))
  assert seen[-1] == (11, 11)
  assert seen == sorted(seen)
  assert len(seen) > 1


def test_no_prompts_give_no_replies(params):
  empty = generate(params, [], np.zeros((0,), np.int64))
  assert empty.tokens.shape == (0, 20)


@pytest.mark.parametrize(
  ('prompts', 'ids', 'sampling', 'message'),
  [
    ([[3]], [1, 2], SAMPLING, '1 prompts but 2 example ids'),
    ([[3], []], [1, 2], SAMPLING, 'a prompt is empty'),
    (
      [[3] * 8],
      [1],
      dataclasses.replace(SAMPLING, max_prompt=7),
      '8 tokens exceeds max_prompt=7',
    ),
  ],
)
def test_prompts_that_cannot_be_continued(
  params, prompts, ids, sampling, message
):
  prompts = [np.array(prompt, np.int32) for prompt in prompts]
  with pytest.raises(ValueError, match=message):
    generate(params, prompts, np.array(ids), sampling)


def test_learned_positions_bound_the_reply(params):
  config = dataclasses.replace(CONFIG, positions='learned', max_positions=24)
  with pytest.raises(ValueError, match='exceeds max_positions=24'):
    plan_lib.check(config, [5], 1, SAMPLING)
  plan_lib.check(config, [4], 1, SAMPLING)


@pytest.mark.parametrize('slots', [2, 8, 64])
@pytest.mark.slow
def test_k_samples_equal_k_single_ones(params, slots):
  prompts, ids, k = PROMPTS, IDS[::-1], 3
  sampling = dataclasses.replace(SAMPLING, slots=slots)
  key = jax.random.key(3)
  reply_ids = best_of_k.reply_ids(ids, k)
  together = decode.generate(MODEL, params, prompts, reply_ids, key, sampling)
  apart = generate(
    params,
    [prompt for prompt in prompts for _ in range(k)],
    reply_ids.reshape(-1),
  )
  assert_same(together, apart)
  assert len({row.tobytes() for row in together.tokens[:k]}) > 1
