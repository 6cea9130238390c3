"""Replies sampled from the tiny policy, for the tests of PPO."""

import functools

import jax
import numpy as np

from hh_jax.config import SamplingConfig
from hh_jax.generation import decode
from hh_jax.stages import rollout
from tests.stages import toys

SAMPLING = SamplingConfig(max_new_tokens=6, slots=8, temperature=0.8)
ROW = 64


@functools.lru_cache
def sampled(num=6, seed=0):
  """Replies to random prompts; some end by themselves, some do not."""
  rng = np.random.default_rng(seed)
  prompts = tuple(toys.draw_ids(rng, 2, 12) for _ in range(num))
  # A tiny random model hardly ever ends a reply, so end-of-text is made likely.
  generated = decode.generate(
    toys.MODEL,
    eager_to_end(),
    prompts,
    np.arange(num),
    jax.random.key(seed),
    SAMPLING,
    toys.TOKENIZER.turn_markers,
  )
  return rollout.Replies(prompts=prompts, **vars(generated))


@functools.lru_cache
def eager_to_end():
  """The tiny policy with an end-of-text that its states often point to."""
  params = toys.params()
  embedding = params['embed']['embedding']
  embedding = embedding.at[toys.TOKENIZER.eot].mul(4.0)
  return {**params, 'embed': {'embedding': embedding}}


def made(prompts, replies, columns=8):
  """Replies with given tokens, [(ids with or without end-of-text)]."""
  tokens = np.zeros((len(replies), columns), np.int32)
  for row, reply in enumerate(replies):
    tokens[row, : len(reply)] = reply
  counts = np.array([len(reply) for reply in replies], np.int32)
  eot = toys.TOKENIZER.eot
  return rollout.Replies(
    prompts=tuple(prompts),
    tokens=tokens,
    num_tokens=counts,
    log_probs=np.zeros(tokens.shape, np.float32),
    has_eot=np.array([bool(len(r)) and r[-1] == eot for r in replies]),
  )
