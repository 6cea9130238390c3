"""Activations of prompts beside a plain forward pass."""

import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.data.dialogue import Dialogue
from hh_jax.models import ladder, layers
from hh_jax.stages import activations
from tests.stages import toys

PROMPTS = [
  Dialogue.alternating(f'Question {i} about ' + 'eggs ' * i) for i in range(40)
]
LONGEST = 24


@pytest.mark.parametrize('pooling', activations.POOLINGS)
def test_the_last_layer_is_the_stream_before_the_final_norm(pooling):
  run = toys.as_run(toys.params(), 'pretrain')
  found = activations.of_prompts(run, PROMPTS, pooling, LONGEST)
  assert found.shape[:2] == (toys.MODEL.config.num_layers, len(PROMPTS))
  for number in (0, 7, 39):
    ids = toys.TOKENIZER.encode_prompt(PROMPTS[number])[-LONGEST:]
    tokens = np.zeros((1, 64), np.int32)
    tokens[0, : len(ids)] = ids
    packed = ladder.rectangle(jnp.asarray(tokens), jnp.asarray([len(ids)]))
    (stream,) = ladder.streams(toys.MODEL, toys.params(), packed)
    own = np.asarray(stream)[0, : len(ids)]
    expected = own.mean(0) if pooling == 'mean' else own[-1]
    np.testing.assert_allclose(found[0, number], expected, atol=1e-5)


def test_streams_end_in_what_the_final_norm_reads():
  ids = toys.TOKENIZER.encode_prompt(PROMPTS[5])
  tokens = np.asarray(ids, np.int32)[None]
  packed = ladder.rectangle(jnp.asarray(tokens), jnp.asarray([len(ids)]))
  params = toys.params()
  stream = ladder.streams(toys.MODEL, params, packed)[-1]
  norm = layers.Norm(toys.MODEL.config.norm, toys.MODEL.config.norm_eps)
  hidden = norm.apply({'params': params['final_norm']}, stream)
  expected = ladder.forward(toys.MODEL, params, packed).hidden
  np.testing.assert_allclose(
    np.asarray(hidden), np.asarray(expected), atol=1e-5
  )


def test_pooling_changes_the_vector():
  run = toys.as_run(toys.params(), 'pretrain')
  mean, last = (
    activations.of_prompts(run, PROMPTS, pooling, LONGEST)
    for pooling in activations.POOLINGS
  )
  assert np.abs(mean - last).max() > 0.1
