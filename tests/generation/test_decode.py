import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import ModelConfig, SamplingConfig
from hh_jax.data.tokenizer import EOT_ID, PAD_ID
from hh_jax.generation import decode
from hh_jax.generation import state as state_lib
from hh_jax.models import heads, ladder
from hh_jax.ops import logprobs

CONFIG = ModelConfig(
  num_layers=2,
  model_dim=16,
  num_heads=2,
  vocab_size=13,
  vocab_multiple=4,
  init_std=0.5,
)
MODEL = ladder.build(CONFIG)
LENGTHS = (3, 5, 1, 4)
PLAIN = SamplingConfig(max_new_tokens=9)


@pytest.fixture(scope='module')
def params():
  return ladder.init(MODEL, jax.random.key(0))


def start(params, num_draws=9):
  prompts = jax.random.randint(jax.random.key(1), (4, 5), 3, 13, jnp.int32)
  uniforms = state_lib.draw_uniforms(
    jax.random.key(2), jnp.arange(4), num_draws
  )
  state = decode.prefill(
    MODEL, params, prompts, jnp.array(LENGTHS, jnp.int32), uniforms
  )
  return np.asarray(prompts), state


def run(params, sampling=PLAIN, steps=9, stop_ids=()):
  prompts, state = start(params)
  return prompts, decode.decode(MODEL, params, state, steps, sampling, stop_ids)


def with_replies(prompts, state):
  """Prompt and reply of each row as one packed rectangle."""
  rows = np.zeros((4, 14), np.int32)
  for row, length in enumerate(LENGTHS):
    rows[row, :length] = prompts[row, :length]
    rows[row, length : length + 9] = np.asarray(state.tokens)[row]
  lengths = jnp.array(LENGTHS) + state.num_sampled
  return rows, ladder.rectangle(jnp.asarray(rows), lengths)


@pytest.mark.parametrize(
  ('temperature', 'top_p'), [(1.0, 1.0), (0.7, 1.0), (1.3, 0.8)]
)
@pytest.mark.slow
def test_sampler_log_probs_equal_the_trainers(params, temperature, top_p):
  sampling = dataclasses.replace(PLAIN, temperature=temperature, top_p=top_p)
  prompts, state = run(params, sampling)
  rows, packed = with_replies(prompts, state)
  hidden = ladder.forward(MODEL, params, packed).hidden
  log_probs = logprobs.token_log_probs(
    hidden[:, :-1].reshape(-1, 16),
    heads.unembed_matrix(params),
    jnp.asarray(rows[:, 1:].reshape(-1)),
    num_valid=13,
    temperature=temperature,
    top_p=top_p,
  ).reshape(4, 13)
  for row, length in enumerate(LENGTHS):
    count = state.num_sampled[row]
    expected = log_probs[row, length - 1 : length - 1 + count]
    np.testing.assert_allclose(
      state.log_probs[row, :count], expected, rtol=0, atol=1e-5
    )
    assert (state.log_probs[row, count:] == 0).all()
  assert state.num_sampled.sum() > 10


@pytest.mark.parametrize(
  ('temperature', 'slots', 'padding'), [(0.5, 2, 0), (1.0, 5, 7), (1.5, 5, 40)]
)
@pytest.mark.slow
def test_log_probs_of_any_slot_and_length_equal_the_trainers(
  params, temperature, slots, padding
):
  lengths = (1, 2, 17, 33, 70)
  rng = np.random.default_rng(slots)
  prompts = [rng.integers(3, 13, n).astype(np.int32) for n in lengths]
  sampling = dataclasses.replace(PLAIN, temperature=temperature, slots=slots)
  found = decode.generate(
    MODEL, params, prompts, np.arange(5), jax.random.key(3), sampling
  )
  rows = np.zeros((5, 70 + 9 + padding), np.int32)
  for row, prompt in enumerate(prompts):
    whole = np.concatenate([prompt, found.tokens[row, : found.num_tokens[row]]])
    rows[row, : len(whole)] = whole
  packed = ladder.rectangle(
    jnp.asarray(rows), jnp.asarray(lengths) + found.num_tokens
  )
  hidden = jax.jit(ladder.forward, static_argnums=0)(MODEL, params, packed)
  log_probs = logprobs.token_log_probs(
    hidden.hidden[:, :-1].reshape(-1, 16),
    heads.unembed_matrix(params),
    jnp.asarray(rows[:, 1:].reshape(-1)),
    num_valid=13,
    temperature=temperature,
  ).reshape(5, -1)
  for row, length in enumerate(lengths):
    count = found.num_tokens[row]
    np.testing.assert_allclose(
      found.log_probs[row, :count],
      log_probs[row, length - 1 : length - 1 + count],
      rtol=0,
      atol=1e-5,
    )
  assert found.num_tokens.sum() > 10


def test_near_greedy_follows_the_full_forward(params):
  sampling = dataclasses.replace(PLAIN, temperature=1e-4)
  prompts, state = run(params, sampling)
  _, packed = with_replies(prompts, state)
  hidden = ladder.forward(MODEL, params, packed).hidden
  logits = np.asarray(hidden @ heads.unembed_matrix(params).T)[..., :13]
  for row, length in enumerate(LENGTHS):
    count = state.num_sampled[row]
    best = logits[row, length - 1 : length - 1 + count].argmax(-1)
    np.testing.assert_array_equal(state.tokens[row, :count], best)


def test_decode_is_resumable(params):
  _, whole = run(params)
  _, state = start(params)
  for steps in (1, 3, 0, 2, 50):
    state = decode.decode(MODEL, params, state, steps, PLAIN)
  np.testing.assert_array_equal(state.tokens, whole.tokens)
  np.testing.assert_array_equal(state.log_probs, whole.log_probs)
  np.testing.assert_array_equal(state.num_sampled, whole.num_sampled)
  assert state.is_done.all()
  _, early = run(params, steps=2)
  assert early.num_sampled.max() == 2
  assert not early.is_done.all()


def test_end_of_text_is_kept_and_nothing_follows(params):
  biased = jax.tree.map(lambda x: x, params)
  embedding = params['embed']['embedding']
  biased['embed'] = {'embedding': embedding.at[EOT_ID].mul(2.0)}
  _, state = run(biased)
  assert state.has_eot.any()
  for row in range(4):
    count = state.num_sampled[row]
    is_eot = state.tokens[row, :count] == EOT_ID
    assert is_eot.sum() == state.has_eot[row]
    assert not is_eot[:-1].any()
    assert (state.tokens[row, count:] == PAD_ID).all()
    assert state.has_eot[row] or count == 9


def test_turn_marker_ends_the_reply_and_is_taken_out(params):
  _, whole = run(params)
  row = int(whole.num_sampled.argmax())
  marker = tuple(int(t) for t in whole.tokens[row, 3:5])
  never = (2, 2, 2, 2)
  _, state = run(params, stop_ids=(never, marker))
  sampled = whole.tokens[row, : whole.num_sampled[row]].tolist()
  starts = [i for i in range(8) if tuple(sampled[i : i + 2]) == marker]
  cut = starts[0]
  assert state.num_sampled[row] == cut
  np.testing.assert_array_equal(state.tokens[row, :cut], sampled[:cut])
  np.testing.assert_array_equal(state.tokens[row, cut:], PAD_ID)
  np.testing.assert_array_equal(state.log_probs[row, cut:], 0.0)
  assert state.is_done[row]
  assert not state.has_eot[row]


def stopped(tokens, num_sampled, stop_ids):
  state = state_lib.empty_state(CONFIG, 1, 8, len(tokens))
  state = state.replace(
    tokens=jnp.array([tokens], jnp.int32),
    num_sampled=jnp.array([num_sampled], jnp.int32),
    is_done=jnp.array([False]),
  )
  return state_lib.stop(state, stop_ids)


def test_marker_edges():
  markers = ((5, 6), (4, 5, 6))
  longest = stopped([3, 4, 5, 6, 0], 4, markers)
  assert longest.num_sampled[0] == 1
  full = stopped([3, 3, 3, 5, 6], 5, markers)
  assert (full.num_sampled[0], full.is_done[0]) == (3, True)
  short = stopped([6, 0, 0, 0, 0], 1, markers)
  assert not short.is_done[0]
  partial = stopped([3, 5, 0, 0, 0], 2, markers)
  assert not partial.is_done[0]
  stale = stopped([5, 6, 3, 0, 0], 3, markers)
  assert not stale.is_done[0]


def test_uniforms_depend_on_the_example_alone():
  key = jax.random.key(7)
  some = state_lib.draw_uniforms(key, jnp.array([4, 9]), 5)
  more = state_lib.draw_uniforms(key, jnp.array([9, 1, 4]), 5)
  np.testing.assert_array_equal(some, more[jnp.array([2, 0])])
  assert ((some >= 0) & (some < 1)).all()
  other = state_lib.draw_uniforms(jax.random.key(8), jnp.array([4, 9]), 5)
  assert (some != other).all()


def test_cache_is_written_in_place(params):
  """A copy of the whole cache for every token would dominate decoding."""
  _, state = start(params)
  shape = ','.join(str(n) for n in state.cache.keys[0].shape)
  leaves, tree = jax.tree.flatten(state)

  def step(*leaves):
    state = tree.unflatten(leaves)
    return jax.tree.leaves(decode.decode(MODEL, params, state, 9, PLAIN))

  jitted = jax.jit(step, donate_argnums=range(len(leaves)))
  text = jitted.lower(*leaves).compile().as_text()
  assert re.search(rf'f32\[{shape}\].* scatter\(', text)
  assert not re.findall(rf'= f32\[{shape}\]\S* copy\(', text)


def test_decoding_copy_keeps_the_embedding_exact(params):
  low = ladder.build(dataclasses.replace(CONFIG, compute_dtype='bfloat16'))
  copy = decode.for_decoding(low, params)
  assert len(copy['blocks']) == CONFIG.num_layers
  for block in copy['blocks']:
    assert block['up']['kernel'].dtype == jnp.bfloat16
    assert block['mlp_norm']['scale'].dtype == jnp.float32
  np.testing.assert_array_equal(
    copy['embed']['embedding'], params['embed']['embedding']
  )
