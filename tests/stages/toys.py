"""Tiny runs and comparisons that the tests of the stages share."""

import functools
import pathlib

import jax
import numpy as np

from hh_jax.config import ModelConfig
from hh_jax.models import heads, ladder
from hh_jax.stages import inputs, loading
from tests.data import samples

TOKENIZER = samples.tokenizer()
MODEL = ladder.build(
  ModelConfig(
    num_layers=1,
    model_dim=16,
    num_heads=2,
    vocab_size=TOKENIZER.vocab_size,
    init_std=0.3,
  )
)


@functools.lru_cache
def params(seed=0):
  return ladder.init(MODEL, jax.random.key(seed))


@functools.lru_cache
def pm_params(seed=1):
  head = heads.init_score_head(jax.random.key(seed + 50), MODEL.config)
  return {**params(seed), 'score_head': head}


def as_run(values, stage, workdir='made-up'):
  return loading.Run(
    workdir=pathlib.Path(workdir),
    stage=stage,
    config={},
    tokenizer=TOKENIZER,
    model=MODEL,
    params=values,
    state_sha256='0' * 64,
  )


def stand_in(monkeypatch, **runs):
  """Makes stages open these runs, by the names in their configs' fields."""
  monkeypatch.setattr(inputs, 'require', lambda config: None)
  monkeypatch.setattr(loading, 'load_run', lambda name: runs[name])


def ids(*numbers):
  return np.asarray(numbers, np.int32)


def draw_ids(rng, low, high):
  """Between `low` and `high` ids, none of them special."""
  count = rng.integers(low, high + 1)
  return rng.integers(3, TOKENIZER.vocab_size, count).astype(np.int32)


def comparisons(num_helpful, num_harmless):
  """Comparisons with one first human turn each, no two the same."""
  sides = ['helpful'] * num_helpful + ['harmless'] * num_harmless
  return [
    samples.comparison(
      f'Question {number} about eggs?',
      chosen='Put it in water.' + ' I think.' * (number % 3),
      rejected='No.' + ' It is noon.' * (number % 4),
      side=side,
    )
    for number, side in enumerate(sides)
  ]


@functools.partial(jax.jit, static_argnums=0)
def hidden_of(model, values, tokens):
  """Hidden states of plain sequences, [B, T] to [B, T, D]."""
  lengths = jax.numpy.full(tokens.shape[0], tokens.shape[1], jax.numpy.int32)
  packed = ladder.rectangle(tokens, lengths)
  return ladder.forward(model, values, packed).hidden


def plain_hidden(sequence, values, width=128):
  """Hidden states of one sequence that nothing else shares a row with."""
  padded = np.zeros((1, width), np.int32)
  padded[0, : len(sequence)] = sequence
  return np.asarray(hidden_of(MODEL, values, padded))[0, : len(sequence)]


def plain_log_probs(sequence, values, temperature=1.0):
  """log p of every next token over the true vocabulary, [T, V] float64."""
  hidden = plain_hidden(sequence, values).astype(np.float64)
  unembed = np.asarray(heads.unembed_matrix(values), np.float64)
  logits = hidden @ unembed[: MODEL.config.vocab_size].T / temperature
  logits -= logits.max(-1, keepdims=True)
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def plain_score(prompt, reply, values):
  """Preference score of one reply, read at its end-of-context token."""
  sequence = np.concatenate([prompt, reply, ids(TOKENIZER.eoc)])
  head = values['score_head']
  last = plain_hidden(sequence, values)[-1]
  return float(
    (last @ np.asarray(head['kernel']) + np.asarray(head['bias']))[0]
  )


def train_nothing(monkeypatch, **stages):
  """What each stage was asked to train, by folder; nothing is."""
  asked = {}

  def stand_in(stage):
    def run(config, folder):
      asked[folder] = (stage, config)
      return f'{stage}: done'

    return run

  for name, module in stages.items():
    monkeypatch.setattr(module, 'run', stand_in(name))
  return asked
