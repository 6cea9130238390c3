"""PPO iterations with Tunix, on networks of Qwen2's architecture.

1. Prompts are padded on the left to the longest of the batch, replies to
   `max_new`: the shortest that Tunix allows.
2. The sampler has a seed, which changes with every batch; otherwise it would
   draw the same replies again.
3. Phases are told apart by when the cluster's own functions return.

Its packing of sequences is left off: without the attention kernel for TPUs a
packed row is read without a causal mask.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from safetensors import numpy as safetensors
from tunix.models.qwen2 import model as qwen2
from tunix.models.qwen2 import params as qwen2_params
from tunix.rl import common, rl_cluster
from tunix.rl.ppo import ppo_learner
from tunix.rl.rollout import base_rollout

from benchmarks import clock

PAD, EOT, EOC = 0, 1, 2
NUM_CHECKED = 8
WARM_UP = 1  # iterations; the first compiles
# Log-probs of a few replies at a time: smaller tables of logits.
MICRO = {'rollout_micro_batch_size': 32, 'compute_logps_micro_batch_size': 8}
Role = rl_cluster.Role


class Words:
  """A tokenizer whose words are their ids."""

  def encode(self, text: str) -> list[int]:
    return [int(word) for word in text.split()]

  def decode(self, ids: list[int]) -> str:
    return ' '.join(map(str, ids))

  def bos_id(self) -> int:
    return 0  # none is put before a prompt

  def eos_id(self) -> int:
    return EOT

  def pad_id(self) -> int:
    return PAD


class Phases:
  """When each phase of each iteration ended."""

  def __init__(self, cluster: rl_cluster.RLCluster, longest: int) -> None:
    self.marks = clock.Marks()
    self._longest = longest
    self._cluster = cluster
    self._generate = cluster.generate
    self._update_actor = cluster.update_actor
    self._update_critic = cluster.update_critic
    cluster.generate = self.generate
    cluster.update_actor = self.update_actor
    cluster.update_critic = self.update_critic

  def generate(self, *args: Any, **kwargs: Any) -> base_rollout.RolloutOutput:
    found = self._generate(*args, **kwargs)
    self.marks.sampled.append(time.perf_counter())
    # They come without their end-of-text, which the other sides count.
    lengths = [min(len(ids) + 1, self._longest) for ids in found.tokens]
    self.marks.lengths.append(float(np.mean(lengths)))
    return found

  def update_actor(self, *args: Any, **kwargs: Any) -> None:
    self.marks.scored.append(time.perf_counter())
    self._update_actor(*args, **kwargs)

  def update_critic(self, *args: Any, **kwargs: Any) -> None:
    self._update_critic(*args, **kwargs)
    jax.block_until_ready(nnx.state(self._cluster.critic_trainer.model))
    self.marks.updated.append(time.perf_counter())


def network(folder: pathlib.Path, name: str) -> qwen2.Qwen2:
  """Opens the `policy` or the `pm` in float32."""
  public = json.loads((folder / name / 'config.json').read_text())
  config = qwen2.ModelConfig(
    num_layers=public['num_hidden_layers'],
    vocab_size=public['vocab_size'],
    embed_dim=public['hidden_size'],
    hidden_dim=public['intermediate_size'],
    num_heads=public['num_attention_heads'],
    head_dim=public['hidden_size'] // public['num_attention_heads'],
    num_kv_heads=public['num_key_value_heads'],
    rope_theta=int(public['rope_theta']),
    norm_eps=public['rms_norm_eps'],
    use_tied_embedding=public['tie_word_embeddings'],
  )
  return qwen2_params.create_model_from_safe_tensors(
    str(folder / name), config, dtype=jnp.float32
  )


def scorer(folder: pathlib.Path) -> qwen2.Qwen2:
  """The `pm`: its score is the one output in place of logits."""
  model = network(folder, 'pm')
  model.config = dataclasses.replace(model.config, use_tied_embedding=False)
  weight = safetensors.load_file(folder / 'pm/model.safetensors')[
    'score.weight'
  ]
  head = nnx.Linear(weight.shape[1], 1, use_bias=False, rngs=nnx.Rngs(0))
  head.kernel.value = jnp.asarray(weight.T)
  model.lm_head = head
  return model


def padded(rows: list[np.ndarray], is_left: bool) -> jax.Array:
  width = max(map(len, rows))
  found = np.full((len(rows), width), PAD, np.int32)
  for places, row in zip(found, rows):
    places[slice(-len(row), None) if is_left else slice(len(row))] = row
  return jnp.asarray(found)


def read_given(
  policy: nnx.Module,
  pm: nnx.Module,
  lists: dict[str, list[np.ndarray]],
  longest: int,
) -> dict[str, list[float]]:
  """What policy and preference model say of some replies of the data."""
  prompts = padded(lists['prompts'][:NUM_CHECKED], is_left=True)
  replies = [reply[:longest] for reply in lists['chosen'][:NUM_CHECKED]]
  log_probs = common.compute_per_token_logps(
    *nnx.split(policy), prompts, padded(replies, is_left=False), PAD, EOT
  )
  ended = padded([np.append(reply, EOC) for reply in replies], is_left=False)
  scores = common.compute_score(pm, prompts, ended, PAD, EOT)
  last = prompts.shape[1] + np.array([len(reply) for reply in replies])
  return {
    'log_probs': [
      float(row[: len(reply)].mean())
      for row, reply in zip(np.asarray(log_probs), replies)
    ],
    'scores': np.asarray(scores)[np.arange(len(replies)), last].tolist(),
  }


def configuration(
  job: dict[str, Any], longest_prompt: int
) -> rl_cluster.ClusterConfig:
  mesh = jax.sharding.Mesh(
    np.array(jax.devices()[:1]).reshape(1, 1), ('fsdp', 'tp')
  )
  training = rl_cluster.RLTrainingConfig(
    actor_optimizer=optax.adamw(job['rate']),
    critic_optimizer=optax.adamw(job['rate']),
    mini_batch_size=job['prompts'] // job['minibatches'],
    max_steps=(WARM_UP + job['repeats']) * job['minibatches'],
    eval_every_n_steps=10**9,
    **(MICRO if job['variant'] == 'micro' else {}),
  )
  rollout = base_rollout.RolloutConfig(
    max_tokens_to_generate=job['max_new'],
    max_prompt_length=longest_prompt,
    kv_cache_size=longest_prompt + job['max_new'],
    temperature=1.0,
    top_p=1.0,
  )
  return rl_cluster.ClusterConfig(
    role_to_mesh=dict.fromkeys(Role, mesh),
    training_config=training,
    rollout_config=rollout,
  )


def batches(
  prompts: list[np.ndarray],
  number: int,
  rollout: base_rollout.RolloutConfig,
) -> Iterator[dict[str, np.ndarray]]:
  """The same prompts every iteration, with a seed for the sampler."""
  texts = np.array([' '.join(map(str, ids)) for ids in prompts])
  for rollout.seed in range(number):
    yield {'prompts': texts}


def main() -> None:
  options = clock.arguments()
  job = options.job
  folder = options.inputs / job['family']
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = lists['prompts'][: job['prompts']]
  policy, pm = network(folder, 'policy'), scorer(folder)
  checks = read_given(policy, pm, lists, job['max_new'])
  config = configuration(job, max(map(len, prompts)))
  cluster = rl_cluster.RLCluster(
    actor=policy,
    critic=scorer(folder),
    reference=network(folder, 'policy'),
    reward=pm,
    tokenizer=Words(),
    cluster_config=config,
  )
  phases = Phases(cluster, job['max_new'])
  learner = ppo_learner.PPOLearner(
    cluster, ppo_learner.PPOConfig(num_iterations=job['passes'], beta=0.001)
  )
  phases.marks.updated.append(time.perf_counter())
  learner.train(
    batches(prompts, WARM_UP + job['repeats'], config.rollout_config)
  )
  clock.finish(
    options.out,
    units=job['prompts'],
    **phases.marks.result(WARM_UP),
    checks={**checks, 'mean_reply': [float(np.mean(phases.marks.lengths))]},
    settings=f'Tunix {importlib.metadata.version("google-tunix")} PPO, '
    f'float32, Qwen2 block, {job["variant"]}',
  )


if __name__ == '__main__':
  main()
