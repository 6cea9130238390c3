"""Loss, samples and updates on meshes of eight fake devices, as JSON.

Run in a process of its own: the number of devices is fixed when jax starts.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import sharding
from hh_jax.config import ModelConfig, SamplingConfig
from hh_jax.generation import decode
from hh_jax.models import heads, ladder
from hh_jax.ops import logprobs
from tests.stages import updates

CONFIG = ModelConfig(
  num_layers=2, model_dim=32, num_heads=4, vocab_size=64, init_std=0.2
)
MODEL = ladder.build(CONFIG)
MESHES = ((1, 1, 1), (8, 1, 1), (2, 2, 2))


def loss(params, tokens):
  packed = ladder.rectangle(tokens, jnp.full(8, 12))
  hidden = ladder.forward(MODEL, params, packed).hidden[:, :-1]
  log_probs = logprobs.token_log_probs(
    hidden.reshape(-1, 32),
    heads.unembed_matrix(params),
    tokens[:, 1:].reshape(-1),
    num_valid=64,
  )
  return -jnp.mean(log_probs)


def measure(tokens):
  params = ladder.init(MODEL, jax.random.key(0))
  value, gradient = jax.jit(jax.value_and_grad(loss))(params, tokens)
  norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
  prompts = [np.arange(3, 3 + n) for n in (2, 5, 9)]
  generated = decode.generate(
    MODEL,
    params,
    prompts,
    np.arange(3),
    jax.random.key(1),
    SamplingConfig(max_new_tokens=6, slots=8),
  )
  # Prompts of two replies are kept apart from them.
  shared = decode.generate(
    MODEL,
    params,
    prompts,
    np.arange(6).reshape(3, 2),
    jax.random.key(1),
    SamplingConfig(max_new_tokens=6, slots=4),
  )
  kernel = params['blocks']['up']['kernel']
  return {
    'loss': float(value),
    'gradient_norm': float(norm),
    'tokens': generated.tokens.tolist(),
    'shared_tokens': shared.tokens.tolist(),
    'num_devices': len(kernel.sharding.device_set),
    'shard': list(kernel.sharding.shard_shape(kernel.shape)),
  }


def main():
  tokens = jax.random.randint(jax.random.key(9), (8, 12), 0, 64, jnp.int32)
  tokens = np.asarray(tokens)
  results = {'none': measure(tokens)}
  steps = {
    'pretrain': updates.pretrain_case(MODEL),
    'rlhf': updates.ppo_case(MODEL),
  }
  alone = {name: updates.leaves_after(case) for name, case in steps.items()}
  for shape in MESHES:
    mesh = sharding.make_mesh(*shape)
    with jax.set_mesh(mesh):
      results[str(shape)] = measure(tokens)
      if mesh.size > 1:
        results[str(shape)] |= {
          name: updates.distances(updates.leaves_after(case, mesh), alone[name])
          for name, case in steps.items()
        }
  json.dump(results, sys.stdout)


if __name__ == '__main__':
  main()
