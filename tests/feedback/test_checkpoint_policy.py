"""Runs as policies: batched decoding gives what the sampler gives."""

import asyncio
import dataclasses
import functools
import threading

import jax
import numpy as np
import pytest

from hh_jax.config import SamplingConfig
from hh_jax.config.feedback import BestOfConfig, CheckpointConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback.policies import checkpoint, engine
from hh_jax.feedback.policies.protocol import PolicyError
from hh_jax.generation import decode
from hh_jax.models import ladder
from hh_jax.stages import loading
from hh_jax.training import keys
from tests.stages import toys

PROMPTS = (
  Dialogue.alternating('What is the time?'),
  Dialogue.alternating('Hello there.', 'Hello! How can I help?', 'Sing.'),
)
SIZES = {'max_new_tokens': 12, 'max_prompt': 64, 'slots': 4}


@pytest.fixture(autouse=True)
def runs(monkeypatch):
  """Toy runs in the place of folders."""
  deep = ladder.build(dataclasses.replace(toys.MODEL.config, num_layers=2))
  policy = dataclasses.replace(
    toys.as_run(_params(deep), 'rlhf', 'runs/policy'), model=deep
  )
  made = {
    'policy': policy,
    'pm': toys.as_run(toys.pm_params(), 'pm', 'runs/pm'),
  }
  monkeypatch.setattr(loading, 'load_run', lambda name, step=0: made[name])
  return made


@functools.lru_cache
def _params(model):
  return ladder.init(model, jax.random.key(0))


def gather(policy, dialogue, n, seed):
  async def go():
    texts, ends, pieces = [''] * n, [''] * n, 0
    async for piece in policy.generate(dialogue, range(n), seed):
      texts[piece.reply] += piece.text
      ends[piece.reply] = piece.finish
      pieces += 1
    return texts, ends, pieces

  return asyncio.run(go())


def close(policy):
  asyncio.run(policy.close())


def sampled(run, dialogue, ids, seed):
  """What the sampler draws with the same key and ids."""
  generated = decode.generate(
    run.model,
    run.params,
    [run.tokenizer.encode_prompt(dialogue)] * len(ids),
    np.asarray(ids),
    keys.fold(seed, 'feedback', 'reply'),
    SamplingConfig(max_new_tokens=12),
    run.tokenizer.turn_markers,
  )
  return [run.tokenizer.decode_reply(ids) for ids in generated.contents()]


@pytest.mark.slow
def test_a_checkpoint_streams_what_the_sampler_draws(runs):
  policy = checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **SIZES))
  try:
    for seed, dialogue in enumerate(PROMPTS):
      texts, ends, pieces = gather(policy, dialogue, 2, seed)
      expected = sampled(runs['policy'], dialogue, [0, 1], seed)
      assert texts == [text.rstrip('\ufffd') for text in expected] or (
        texts == expected
      )
      assert set(ends) <= {'stop', 'length'}
      assert pieces > 2
      assert texts[0] != texts[1]
      # One reply alone is the first of two, and the same again.
      assert gather(policy, dialogue, 1, seed)[0] == texts[:1]
  finally:
    close(policy)


@pytest.mark.slow
def test_many_at_once_wait_for_slots_and_change_nobody(runs):
  policy = checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **SIZES))
  try:
    alone = [gather(policy, PROMPTS[0], 2, seed)[0] for seed in range(5)]

    async def together():
      async def one(seed):
        found = [''] * 2
        async for piece in policy.generate(PROMPTS[0], (0, 1), seed):
          found[piece.reply] += piece.text
        return found

      return await asyncio.gather(*(one(seed) for seed in range(5)))

    assert asyncio.run(together()) == alone
  finally:
    close(policy)


@pytest.mark.slow
def test_the_best_of_k_by_the_preference_model(runs):
  policy = checkpoint.BestOfPolicy(
    BestOfConfig(run='policy', pm='pm', k=3, **SIZES)
  )
  try:
    texts, ends, pieces = gather(policy, PROMPTS[0], 2, seed=9)
    assert pieces == 2 and not policy.can_stream
    assert all(ends)
    candidates = sampled(runs['policy'], PROMPTS[0], range(6), 9)
    for reply, own in ((0, candidates[:3]), (1, candidates[3:])):
      scores = runs['pm'].score(PROMPTS[0], own)
      assert texts[reply] == own[int(np.argmax(scores))]
  finally:
    close(policy)


@pytest.mark.slow
def test_an_engine_that_breaks_says_so_and_goes_on(runs, monkeypatch):
  policy = checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **SIZES))
  try:
    right = engine.decode.decode

    def break_once(*args):
      monkeypatch.setattr(engine.decode, 'decode', right)
      raise RuntimeError('out of memory')

    monkeypatch.setattr(engine.decode, 'decode', break_once)
    with pytest.raises(PolicyError, match='out of memory'):
      gather(policy, PROMPTS[0], 1, 0)
    assert gather(policy, PROMPTS[0], 1, 0)[0] == sampled(
      runs['policy'], PROMPTS[0], [0], 0
    )
  finally:
    close(policy)


@pytest.mark.slow
def test_a_long_dialogue_loses_its_beginning(runs):
  policy = checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **SIZES))
  try:
    long = Dialogue.alternating('word ' * 300)
    ids = policy._engine.encode(long)
    whole = runs['policy'].tokenizer.encode_prompt(long)
    assert len(whole) > 64
    np.testing.assert_array_equal(ids, whole[-64:])
  finally:
    close(policy)


@pytest.mark.slow
def test_the_spec_tells_weights_and_sampling_but_no_place(runs):
  config = CheckpointConfig(run='policy', temperature=0.5, **SIZES)
  policy = checkpoint.CheckpointPolicy(config)
  close(policy)
  assert policy.name == 'policy'
  assert policy.spec['state_sha256'] == runs['policy'].state_sha256
  assert policy.spec['temperature'] == 0.5
  assert 'run' not in policy.spec and 'slots' not in policy.spec


def test_prompts_beyond_learned_positions_are_refused(runs):
  config = dataclasses.replace(
    runs['policy'].model.config, positions='learned', max_positions=64
  )
  runs['policy'] = dataclasses.replace(
    runs['policy'], model=ladder.build(config)
  )
  with pytest.raises(ValueError, match='max_positions=64'):
    checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **SIZES))


def test_models_of_the_wrong_kind_are_refused():
  with pytest.raises(ValueError, match='gives scores and no replies'):
    checkpoint.CheckpointPolicy(CheckpointConfig(run='pm'))
  with pytest.raises(ValueError, match='without a score head'):
    checkpoint.BestOfPolicy(BestOfConfig(run='policy', pm='policy'))


def test_a_snapshot_is_called_after_its_run_and_step():
  config = CheckpointConfig(run='runs/rlhf', step=20)
  assert checkpoint._name(config) == 'rlhf-20'
  assert checkpoint._name(dataclasses.replace(config, step=0)) == 'rlhf'


@pytest.mark.slow
def test_who_reads_no_longer_leaves_its_slots(runs, monkeypatch):
  sizes = {**SIZES, 'slots': 2, 'max_new_tokens': 40}
  policy = checkpoint.CheckpointPolicy(CheckpointConfig(run='policy', **sizes))
  seated, gate, right = [], threading.Event(), engine.decode.decode

  def decode_later(*args):
    seats = [seat for seat in policy._engine._seats if seat is not None]
    seated.append({seat.request.seed for seat in seats})
    if len(seated) == 2:
      gate.wait(60)
    return right(*args)

  monkeypatch.setattr(engine.decode, 'decode', decode_later)

  async def go():
    for seed in (1, 2):
      stream = policy.generate(PROMPTS[0], (0, 1), seed)
      first = asyncio.ensure_future(anext(stream))
      if seed == 2:
        while not policy._engine._waiting:
          await asyncio.sleep(0.01)
        gate.set()
      await first
      await stream.aclose()

  try:
    asyncio.run(go())
    assert seated[:3] == [{1}, {1}, {2}]
  finally:
    gate.set()
    close(policy)
