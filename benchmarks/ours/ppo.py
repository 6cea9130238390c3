"""PPO iterations: sample, score, update."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import (
  DataConfig,
  OptimizerConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.stages import ppo_iteration, ppo_step, rollout
from hh_jax.training import state as state_lib
from hh_jax.types import Params

NUM_CHECKED = 8


def configuration(job: dict[str, Any]) -> RLHFConfig:
  return RLHFConfig(
    data=DataConfig(batch_size=job['prompts'], row_length=job['row_length']),
    sampling=SamplingConfig(
      max_new_tokens=job['max_new'],
      slots=job.get('slots', job['prompts']),
      stop_at_turn=False,
    ),
    optimizer=OptimizerConfig(lr_override=job['rate'], clip_norm=1e9),
    num_iterations=10**4,
    passes=job['passes'],
    minibatches=job['minibatches'],
    share_trunk=job['variant'] == 'shared',
  )


def read_given(
  config: RLHFConfig,
  networks: ppo_step.Networks,
  params: Params,
  frozen: Params,
  lists: dict[str, list[np.ndarray]],
) -> dict[str, list[float]]:
  """What policy and preference model say of some replies of the data."""
  chosen = [
    reply[: config.sampling.max_new_tokens] for reply in lists['chosen']
  ]
  counts = np.array([len(reply) for reply in chosen[:NUM_CHECKED]])
  tokens = np.zeros((NUM_CHECKED, config.sampling.max_new_tokens), np.int32)
  for row, reply in zip(tokens, chosen):
    row[: len(reply)] = reply
  given = rollout.Replies(
    prompts=tuple(lists['prompts'][:NUM_CHECKED]),
    tokens=tokens,
    num_tokens=counts,
    log_probs=np.zeros(tokens.shape, np.float32),
    has_eot=np.zeros(NUM_CHECKED, bool),
  )
  batch = rollout.pack_replies(
    given,
    range(NUM_CHECKED),
    setting.special_tokens(),
    config.data.row_length,
    NUM_CHECKED,
  )
  # The replies are given, so no sampler knows their log-probs.
  reading = dataclasses.replace(config, recompute_log_probs=True)
  score = jax.jit(ppo_step.make_score(reading, networks))
  found = score(params, frozen, batch)
  log_probs = np.where(given.mask, found['log_probs'], 0.0)
  return {
    'log_probs': (log_probs.sum(1) / counts).tolist(),
    'scores': found['scores'].tolist(),
  }


def mean_move(params: Params, before: Params) -> float:
  """Mean distance of a parameter from where it was."""
  moved = jax.tree.map(lambda x, y: float(jnp.abs(x - y).sum()), params, before)
  sizes = jax.tree.map(jnp.size, params)
  return sum(jax.tree.leaves(moved)) / sum(jax.tree.leaves(sizes))


def main() -> None:
  options = clock.arguments()
  job = options.job
  config = configuration(job)
  policy, policy_params = setting.network(options.inputs, 'policy', job)
  pm, pm_params = setting.network(options.inputs, 'pm', job)
  networks = ppo_step.Networks(policy, pm, pm)
  if config.share_trunk:
    networks = ppo_step.Networks(policy, policy, pm)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = clock.prompts_of(lists, job)  # the same every iteration
  pool = rollout.PromptPool(tuple(prompts), np.arange(len(prompts)))
  tx = ppo_step.make_ppo_optimizer(config, networks)
  value = {'score_head': pm_params['score_head']}
  if not config.share_trunk:
    value = pm_params
  params = {'policy': policy_params, 'value': value}
  state = state_lib.init_state(
    jax.tree.map(jnp.copy, params), tx, {'score_mean': jnp.zeros(())}
  )
  phases = ppo_iteration.make_phases(
    config, networks, tx, setting.special_tokens(), pool
  )
  frozen = {'reference': policy_params, 'pm': pm_params}
  checks = read_given(config, networks, params, frozen, lists)
  seen: list[dict[str, float]] = []
  parts: dict[str, list[float]] = {'sample': [], 'score': [], 'update': []}

  def timed(part: str, phase: Callable[..., Any], *arguments: Any) -> Any:
    started = time.perf_counter()
    found = jax.block_until_ready(phase(*arguments))
    parts[part].append(time.perf_counter() - started)
    return found

  def run() -> None:
    nonlocal state
    t = len(seen)
    replies = timed('sample', phases.sample, state.params['policy'], t)
    goal, judged = timed('score', phases.judge, state, frozen, replies)
    state, learnt = timed('update', phases.learn, state, replies, goal, t)
    if not t:
      moved = mean_move(state.params['policy'], policy_params)
      checks['moved'] = [moved / job['rate']]
    joined = ppo_iteration.join_metrics(judged, learnt)
    seen.append({name: float(x) for name, x in joined.items()})
    if seen[-1]['train/skipped']:
      raise RuntimeError(f'iteration {t} was not applied: {seen[-1]}')

  for _ in range(setting.WARM_UP):
    run()
  samples = clock.seconds_of(run, job['repeats'], lambda: None)
  measured = slice(-len(samples), None)
  checks['mean_reply'] = [float(np.mean([m['rollout/length'] for m in seen]))]
  setting.finish(
    options.out,
    units=job['prompts'],
    samples=samples,
    parts={part: times[measured] for part, times in parts.items()},
    checks=checks,
    settings=setting.settings(job),
  )


if __name__ == '__main__':
  main()
