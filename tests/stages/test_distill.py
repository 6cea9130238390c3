import functools
import types

import jax
import numpy as np
import pytest

from hh_jax.config import DataConfig, DistillConfig, OptimizerConfig
from hh_jax.data import corpora
from hh_jax.stages import distill, worlds
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from tests.stages import toys

ROW = 64
PROMPT = np.arange(3, 15, dtype=np.int32)


def draw_sequences(seed=0, num=5):
  rng = np.random.default_rng(seed)
  return [toys.draw_ids(rng, 2, 12) for _ in range(num)]


def make_batch(sequences, batch_size=6):
  return distill.make_batch(sequences, PROMPT, ROW, 12, batch_size)


def tokens_at(packed, index):
  return np.asarray(packed.tokens).reshape(-1)[np.asarray(index)]


def test_both_tables_list_the_same_tokens_in_the_same_order():
  sequences = draw_sequences()
  batch = make_batch(sequences)
  mask = np.asarray(batch.mask)
  own = tokens_at(batch.student, batch.student_index)
  taught = tokens_at(batch.teacher, batch.teacher_index)
  np.testing.assert_array_equal(own[mask], taught[mask])
  for row, sequence in enumerate(sequences):
    np.testing.assert_array_equal(own[row, mask[row]], sequence[:-1])
  assert not mask[len(sequences) :].any()


def test_what_follows_an_index_continues_it():
  """The next column of an indexed token has it as parent, in both packs."""
  batch = make_batch(draw_sequences(1))
  mask = np.asarray(batch.mask)
  for packed, table in (
    (batch.teacher, batch.teacher_index),
    (batch.student, batch.student_index),
  ):
    index = np.asarray(table)[mask]
    parent = np.asarray(packed.parent).reshape(-1)[index + 1]
    np.testing.assert_array_equal(parent, index % ROW)
    assert (np.asarray(packed.loss_mask).reshape(-1)[index + 1]).all()


def test_teacher_targets_are_those_of_prompt_and_sequence_alone():
  sequences = draw_sequences(2, 4)
  batch = make_batch(sequences)
  log_probs, indices = jax.jit(distill.teacher_targets, static_argnums=(0, 3))(
    toys.MODEL, toys.params(), batch, 10
  )
  log_probs = np.asarray(log_probs).reshape(6, 12, 10)
  indices = np.asarray(indices).reshape(6, 12, 10)
  for row, sequence in enumerate(sequences):
    plain = toys.plain_log_probs(
      np.concatenate([PROMPT, sequence]), toys.params()
    )[len(PROMPT) : -1]
    count = len(sequence) - 1
    expected = -np.sort(-plain, axis=-1)[:, :10]
    np.testing.assert_allclose(log_probs[row, :count], expected, atol=1e-5)
    at_indices = np.take_along_axis(plain, indices[row, :count], axis=-1)
    np.testing.assert_allclose(at_indices, expected, atol=1e-5)


@functools.lru_cache
def make_step(top_k=toys.MODEL.config.vocab_size):
  tx = optimizer.make_optimizer(
    OptimizerConfig(lr_override=1e-2), toys.MODEL.config, 100
  )
  step = distill.make_distill_step(toys.MODEL, toys.MODEL, tx, top_k)
  return jax.jit(step), state_lib.init_state(toys.params(1), tx)


@pytest.mark.slow
def test_the_loss_is_the_kl_divergence_from_the_prompted_teacher():
  sequences = draw_sequences(3, 4)
  step, state = make_step()
  _, metrics = step(state, toys.params(), make_batch(sequences))
  terms = []
  for sequence in sequences:
    whole = np.concatenate([PROMPT, sequence])
    teacher = toys.plain_log_probs(whole, toys.params())[len(PROMPT) : -1]
    student = toys.plain_log_probs(sequence, toys.params(1))[:-1]
    terms.append((np.exp(teacher) * (teacher - student)).sum(-1))
  expected = np.concatenate(terms).mean()
  np.testing.assert_allclose(metrics['distill/kl'], expected, rtol=1e-4)
  assert expected > 0.01


def test_the_student_comes_nearer():
  batch = make_batch(draw_sequences(3, 4))
  step, state = make_step()
  losses = []
  for _ in range(10):
    state, metrics = step(state, toys.params(), batch)
    losses.append(float(metrics['distill/kl']))
  assert losses[-1] < 0.7 * losses[0]


def config(**data):
  return DistillConfig(
    num_steps=3,
    data=DataConfig(batch_size=4, num_examples=30, **data),
    text_fraction=0.5,
  )


def test_sequences_are_half_text_and_half_answers_that_fit():
  found, counts = distill.read_sequences(
    config(row_length=200, max_path=40), toys.TOKENIZER, 100, context=512
  )
  marker = toys.TOKENIZER.encode_turn_marker('human')
  assert len(found) == 12
  assert max(map(len, found)) == 40
  for ids in found:
    np.testing.assert_array_equal(ids[: len(marker)], marker)
  answers = worlds.best_answers(config().data, 0, 6)
  expected = [toys.TOKENIZER.encode_dialogue(answer)[:40] for answer in answers]
  for own, other in zip(found[6:], expected, strict=True):
    np.testing.assert_array_equal(own, other)
  whole, _ = distill.read_sequences(
    config(row_length=2000), toys.TOKENIZER, 100, context=2000
  )
  num_cut = sum(len(ids) > 40 for ids in whole)
  assert 0 < num_cut <= 12
  assert counts == {'cut': num_cut, 'too_short': 0}


@pytest.mark.parametrize(
  'row_length, context, longest', [(200, 120, 20), (120, 200, 20), (60, 60, 0)]
)
def test_prompt_and_sequence_stay_within_row_and_context(
  row_length, context, longest
):
  own = config(row_length=row_length)
  if not longest:
    with pytest.raises(ValueError, match='prompt has 100 tokens.*leaves 0 for'):
      distill.read_sequences(own, toys.TOKENIZER, 100, context)
    return
  found, _ = distill.read_sequences(own, toys.TOKENIZER, 100, context)
  assert max(map(len, found)) == longest


def test_the_prompt_is_that_of_the_world_with_breaks():
  tokenizer = toys.TOKENIZER
  conversations = worlds.hhh_conversations(config().data)
  assert 10 <= len(conversations) <= 20
  few = DistillConfig(num_prompt_conversations=2)
  np.testing.assert_array_equal(
    distill.prompt_ids(few, tokenizer),
    corpora.encode_context(tokenizer, conversations[:2]),
  )
  whole = tokenizer.decode(distill.prompt_ids(config(), tokenizer))
  assert whole.count('\n\n-----') == len(conversations)


def test_more_targets_than_tokens_are_refused(monkeypatch):
  run = types.SimpleNamespace(tokenizer=toys.TOKENIZER)
  monkeypatch.setattr(distill.loading, 'load_run', lambda _: run)
  with pytest.raises(ValueError, match='top_k=99999 is more than the vocab'):
    distill.open_models(DistillConfig(init_from='made-up', top_k=99_999))
