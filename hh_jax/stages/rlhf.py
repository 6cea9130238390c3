"""Reinforcement learning from human feedback: PPO against a preference model.

1. Open policy and preference model, draw the prompts, and measure the score
   that counts as zero.
2. One `ppo_iteration` after the other: sample, judge, learn.
3. Every few iterations, reward against √KL on held-out prompts
   (`policy_points`), and replies to some of them as text (`display`); alarms
   where a metric tells of trouble.

Reference: Bai et al. 2022, sections 4.1, 4.3 and B.1.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from hh_jax.config import RLHFConfig
from hh_jax.evals import alarms, scoring
from hh_jax.models.transformer import Transformer
from hh_jax.stages import (
  display,
  generated_prompts,
  inputs,
  loading,
  policy_points,
  ppo_iteration,
  ppo_step,
  prompt_pool,
  session,
)
from hh_jax.stages import rollout as rollout_lib
from hh_jax.training import loop
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import state as state_lib
from hh_jax.types import Params, RunState

log = logging.getLogger(__name__)

LATE = 20  # iterations at the end over which metrics of training are averaged
TRAINED = ('ppo/clip_fraction', 'ppo/first_ratio', 'rollout/value_explained')


def run(config: RLHFConfig, workdir: str | pathlib.Path) -> str:
  """Trains a policy with PPO in `workdir`; returns its one-line result."""
  inputs.require(config)
  policy = loading.load_run(config.policy_from)
  pm = loading.load_run(config.pm_from)
  judges = {'train_pm': pm}
  if config.held_out_pm_from:
    judges['held_out_pm'] = loading.load_run(config.held_out_pm_from)
  claimed = session.begin(
    'rlhf',
    config,
    workdir,
    {'policy_from': policy, 'pm_from': pm, **judges},
    generated_prompts.sources(config),
  )
  if claimed.result:
    return claimed.result['line']
  networks = ppo_step.Networks(
    policy=policy.model, value=value_model(config, policy, pm), pm=pm.model
  )
  pool, counts = prompt_pool.training(config, policy.tokenizer)
  points = policy_points.prepare(config, policy, judges, claimed.workdir)
  points.start(policy.params)
  shown = display.prepare(
    config, policy, pm, points.prompts, points.pool, claimed.workdir
  )
  shown.start(policy.params)
  tx = ppo_step.make_ppo_optimizer(config, networks)
  iterate = ppo_iteration.make_iteration(
    config, networks, tx, policy.tokenizer, pool
  )
  frozen = {'reference': policy.params, 'pm': pm.params}
  state = claimed.train(
    init=lambda: initial_state(config, policy, pm, tx),
    advance=lambda state, t: iterate(state, frozen, t),
    total_steps=config.num_iterations,
    hooks=loop.Hooks(
      on_step=measure_with(points, shown),
      on_row=watch_alarms(config, claimed.workdir),
    ),
  )
  frontier = points.collect(config.num_iterations)
  last = frontier[-1]
  return claimed.finish(
    f'rlhf: {config.num_iterations} iterations, √KL '
    f'{np.sqrt(max(last["kl"], 0.0)):.2f}, PM score '
    f'{last["gain"]["train_pm"][1]:+.2f} over π0',
    {
      **numbers_at_end(config, last, metrics_lib.read_metrics(claimed.workdir)),
      'prompts': counts,
      'frontier': frontier,
      'shown': shown.collect(config.num_iterations),
      'alarms': find_alarms(config, claimed.workdir),
    },
    state,
    policy.model,
    policy.tokenizer,
  )


def measure_with(
  points: policy_points.PolicyPoints, shown: display.Display
) -> loop.OnStep:
  """Returns a hook of the loop that measures the policy and keeps its texts."""

  def measure(state: RunState, step: int) -> dict[str, float] | None:
    shown.at(state.params['policy'], step)
    return points.at(state.params['policy'], step)

  return measure


def watch_alarms(
  config: RLHFConfig, workdir: pathlib.Path
) -> Callable[[int, metrics_lib.Row], None]:
  """Returns a hook of the loop that says what goes wrong when it shows."""
  seen = alarms.Watch(config.sampling.max_new_tokens)
  is_fresh = True

  def look(step: int, row: metrics_lib.Row) -> None:
    nonlocal is_fresh
    if is_fresh:  # the iterations before a resume
      for earlier in metrics_lib.read_metrics(workdir)[: step - 1]:
        seen.look(earlier)
      is_fresh = False
    for alarm in seen.look({**row, metrics_lib.STEP: step}):
      log.warning('rlhf: iteration %d: %s', alarm.step, alarm.message)

  return look


def find_alarms(
  config: RLHFConfig, workdir: pathlib.Path
) -> list[dict[str, Any]]:
  """Returns the alarms of a whole run, for its result."""
  rows = metrics_lib.read_metrics(workdir)
  found = alarms.find(rows, config.sampling.max_new_tokens)
  return [dataclasses.asdict(alarm) for alarm in found]


def numbers_at_end(
  config: RLHFConfig, last: dict[str, Any], rows: Sequence[metrics_lib.Row]
) -> dict[str, Any]:
  """Returns what a table of several runs compares, the main numbers first.

  Args:
    config: Of the run.
    last: Its last point.
    rows: Its metrics; of those of training the means at the end are taken.
  """
  judges = ('train_pm', 'held_out_pm', 'gold')
  gains = {name: last['gain'][name] for name in judges if name in last['gain']}
  point = ('response_length', 'eot_rate', 'repetition', 'entropy', 'k1', 'k3')
  refusals = [name for name in last if name.startswith('refusal_rate')]
  late = rows[-LATE:]
  return {
    'gain': gains,
    'end': {
      'sqrt_kl': float(np.sqrt(max(last['kl'], 0.0))),
      **{name: last[name] for name in (*point, *refusals)},
      **{
        name.rpartition('/')[2]: float(np.mean([row[name] for row in late]))
        for name in TRAINED
      },
      'unended_replies': sum(
        round((1 - row['rollout/eot_rate']) * config.data.batch_size)
        for row in rows
      ),
    },
  }


def value_model(
  config: RLHFConfig, policy: loading.Run, pm: loading.Run
) -> Transformer:
  """Returns the architecture of the value network."""
  if config.share_trunk or config.value_init == 'policy':
    return policy.model
  return pm.model


def initial_state(
  config: RLHFConfig,
  policy: loading.Run,
  pm: loading.Run,
  tx: optax.GradientTransformation,
) -> RunState:
  """Returns the state before the first rollout.

  The mean score of the initial policy's replies is measured here and kept in
  `stats`, because only differences of scores mean anything (section B.2).
  """
  mean = initial_score(config, policy, pm) if config.center_scores else 0.0
  if config.share_trunk or config.value_init == 'policy':
    # A new head starts at zero: scores are centred, so is the first value.
    head = {
      'kernel': jnp.zeros((policy.model.config.model_dim, 1), jnp.float32),
      'bias': jnp.zeros((1,), jnp.float32),
    }
    value: Params = {'score_head': head}
    if not config.share_trunk:
      value = {**policy.params, 'score_head': head}
  else:
    head = pm.params['score_head']
    value = {**pm.params, 'score_head': {**head, 'bias': head['bias'] - mean}}
  params = {'policy': policy.params, 'value': value}
  return state_lib.init_state(
    params, tx, {'score_mean': jnp.asarray(mean, jnp.float32)}
  )


def initial_score(
  config: RLHFConfig, policy: loading.Run, pm: loading.Run
) -> float:
  """Returns the mean score of π0's own replies to held-out prompts."""
  pool = prompt_pool.held_out(config, policy.tokenizer, config.center_prompts)
  replies = rollout_lib.sample(
    policy.model,
    policy.params,
    policy.tokenizer,
    pool,
    ppo_iteration.sample_key(config, 0),
    config.sampling,
  )
  scores = scoring.score_replies(
    pm.model,
    pm.params,
    pm.tokenizer,
    pool.prompts,
    replies.contents(),
  )
  return float(scores.mean())
