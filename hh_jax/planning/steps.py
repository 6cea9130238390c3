"""The jitted steps of each stage, with abstract arguments.

A step is lowered from the factory that the stage itself calls, with the
donation that the stage asks for. What batches look like is taken from the
config at its fullest: every row in use, every reply of the longest length.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from hh_jax.config import (
  DistillConfig,
  ModelConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  RLHFConfig,
)
from hh_jax.generation import decode
from hh_jax.generation import plan as generation_plan
from hh_jax.models import ladder
from hh_jax.planning import abstract
from hh_jax.planning.flops import Counter
from hh_jax.planning.meshes import StageConfig
from hh_jax.stages import distill, ppo_step, preference, pretrain, rollout
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib

HHH_PROMPT_TOKENS = 600  # of the teacher's context
FEWER_ROWS = 'lower data.batch_size'
FEWER_SLOTS = 'lower sampling.slots'


@dataclasses.dataclass(frozen=True)
class StageStep:
  """One program of a stage."""

  name: str
  lower: Callable[[], jax.stages.Lowered]
  held: Mapping[str, Any]  # trees of its arguments, by kind
  rows: int  # of the batch, which are spread over data and fsdp
  context: int  # tokens of a row
  tokens: int  # read or sampled in one run
  flops: float  # needed for them, on all chips
  runs: int | None  # in a whole stage; None: the config does not say
  unpriced: str = ''  # why not, and what to set
  growing: tuple[str, ...] = ('batch',)  # kinds of `held` that grow with rows
  smaller: str = ''  # what to change so that it needs less memory
  trips: int = 1  # of a loop that ends when all replies do
  is_training: bool = True


def of_stage(
  config: StageConfig, model: ModelConfig, mesh: Mesh
) -> list[StageStep]:
  """The steps of a stage in the order they run; call under `set_mesh`.

  Args:
    config: Of the stage.
    model: Its network; policy, value and preference model alike.
    mesh: Of the chips to compile for.
  """
  if isinstance(config, PretrainConfig):
    return [_pretrain(config, model, mesh)]
  if isinstance(config, DistillConfig):
    return [_distill(config, model, mesh)]
  if isinstance(config, RLHFConfig):
    return _rlhf(config, model, mesh)
  return [_preference(config, model, mesh)]


def _state(params: Any, tx: Any, mesh: Mesh, **stats: Any) -> Any:
  state = jax.eval_shape(
    lambda params, stats: state_lib.init_state(params, tx, stats),
    params,
    stats,
  )
  return abstract.placed(state, mesh)


def _trained(state: Any) -> dict[str, Any]:
  return {'weights': state.params, 'optimizer': state.opt_state}


def _pretrain(
  config: PretrainConfig, model: ModelConfig, mesh: Mesh
) -> StageStep:
  tx = optimizer.make_optimizer(config.optimizer, model, config.num_steps)
  state = _state(abstract.params_of(model), tx, mesh)
  rows, length = config.data.batch_size, config.data.row_length
  batch = abstract.packed(rows, length, rows, 1)
  step = pretrain.make_pretrain_step(ladder.build(model), tx)
  return StageStep(
    name='update',
    lower=lambda: jax.jit(step, donate_argnums=0).lower(state, batch),
    held={**_trained(state), 'batch': batch},
    rows=rows,
    context=length,
    tokens=rows * length,
    flops=Counter(model).lm_step(rows, length),
    runs=config.num_steps,
    smaller=f'{"" if model.remat else "set model.remat or "}{FEWER_ROWS}',
  )


def _distill(
  config: DistillConfig, model: ModelConfig, mesh: Mesh
) -> StageStep:
  tx = optimizer.make_optimizer(config.optimizer, model, config.num_steps)
  state = _state(abstract.params_of(model), tx, mesh)
  teacher = abstract.placed(abstract.params_of(model), mesh)
  rows, length = config.data.batch_size, config.data.row_length
  sequence = min(config.data.longest_path, length - HHH_PROMPT_TOKENS)
  if sequence < 2:
    raise ValueError(
      f'row_length={length} leaves no room beside a prompt of '
      f'{HHH_PROMPT_TOKENS} tokens; raise data.row_length'
    )
  targets = sequence - 1
  batch = distill.DistillBatch(
    teacher=abstract.packed(rows, length, 1, 1),
    student=abstract.packed(rows, length, rows, 1),
    teacher_index=abstract.array(rows, targets),
    student_index=abstract.array(rows, targets),
    mask=abstract.array(rows, targets, dtype='bool'),
  )
  network = ladder.build(model)
  step = distill.make_distill_step(network, network, tx, config.top_k)
  count = Counter(model)
  head = count.logits(targets)
  read = count.pass_over(0, HHH_PROMPT_TOKENS + sequence) + head
  learnt = 3 * (count.pass_over(0, sequence) + head)
  return StageStep(
    name='update',
    lower=lambda: jax.jit(step, donate_argnums=0).lower(state, teacher, batch),
    held={**_trained(state), 'frozen weights': teacher, 'batch': batch},
    rows=rows,
    context=length,
    tokens=rows * sequence,
    flops=rows * (read + learnt),
    runs=config.num_steps,
    smaller=FEWER_ROWS,
  )


def _preference(
  config: PMConfig | PMPConfig, model: ModelConfig, mesh: Mesh
) -> StageStep:
  """Comparisons that fill a row each."""
  pairs, length = config.data.batch_size, config.data.row_length
  runs = updates_of(config)
  # Where the rate ends changes a constant of the program, not what it costs.
  last = runs or max(1, config.optimizer.warmup_steps)
  tx = optimizer.make_optimizer(config.optimizer, model, last)
  state = _state(abstract.params_of(model, has_head=True), tx, mesh)
  batch = abstract.packed(pairs, length, pairs, 2)
  step = preference.make_pm_step(ladder.build(model), tx, config.lm_coef)
  count = Counter(model)
  forward = count.pass_over(0, length)
  if config.lm_coef:
    forward += count.logits(length - 1)
  return StageStep(
    name='update',
    lower=lambda: jax.jit(step, donate_argnums=0).lower(state, batch),
    held={**_trained(state), 'batch': batch},
    rows=pairs,
    context=length,
    tokens=pairs * length,
    flops=3 * pairs * forward,
    runs=runs,
    unpriced='' if runs else _unpriced(config),
    smaller=FEWER_ROWS,
  )


def updates_of(config: PMConfig | PMPConfig) -> int | None:
  """Updates of the one epoch; None where the config takes all there are.

  Posts give as many pairs as they may; of a mixture without a total all
  comparisons count.
  """
  data = config.data
  if isinstance(config, PMConfig):
    found, total = data.num_examples, config.num_comparisons
  else:
    pairs = config.pairs_per_post * (2 if config.binary else 1)
    found, total = config.num_posts * pairs, 0
  trained = (1 - data.test_fraction) * (data.span_end - data.span_start)
  # A total is drawn from what is left after the test part.
  count = total or round(found * trained)
  return math.ceil(count / data.batch_size) or None


def _unpriced(config: PMConfig | PMPConfig) -> str:
  name = 'data.num_examples' if isinstance(config, PMConfig) else 'num_posts'
  return f'{name}=0 takes all there are; set it to how many'


def _rlhf(
  config: RLHFConfig, model: ModelConfig, mesh: Mesh
) -> list[StageStep]:
  network = ladder.build(model)
  networks = ppo_step.Networks(network, network, network)
  plain = abstract.params_of(model)
  scored = abstract.params_of(model, has_head=True)
  value = {'score_head': scored['score_head']} if config.share_trunk else scored
  tx = ppo_step.make_ppo_optimizer(config, networks)
  zero = abstract.array(dtype='float32')
  state = _state({'policy': plain, 'value': value}, tx, mesh, score_mean=zero)
  frozen = abstract.placed({'reference': plain, 'pm': scored}, mesh)
  return [
    *_sampling(config, model, mesh, state, frozen),
    *_learning(config, networks, tx, state, frozen),
  ]


def _sampling(
  config: RLHFConfig, model: ModelConfig, mesh: Mesh, state: Any, frozen: Any
) -> list[StageStep]:
  """The rollout: a copy to decode with, prompts, replies."""
  network, count = ladder.build(model), Counter(model)
  batch, reply = config.data.batch_size, config.sampling.max_new_tokens
  prompt = config.data.row_length - reply - 1
  plan = generation_plan.make_plan([prompt] * batch, 1, config.sampling)
  width = generation_plan.round_up(prompt)
  group = plan.group_size
  copy = abstract.for_decoding(model, mesh)
  slots = abstract.decode_state_of(
    model, mesh, plan.num_slots, plan.room(prompt + reply), reply
  )
  shared = {**_trained(state), 'frozen weights': frozen}
  policy = state.params['policy']
  step = functools.partial(
    StageStep, context=config.data.row_length, is_training=False
  )
  every = config.num_iterations
  decoding = -(-batch // plan.num_slots)
  return [
    step(
      name='reshard',
      lower=lambda: decode.for_decoding.lower(network, policy),
      held=shared,
      rows=0,
      tokens=0,
      flops=0.0,
      runs=every,
    ),
    step(
      name='prefill',
      lower=lambda: decode.read_prompts.lower(
        network, copy, abstract.array(group, width), abstract.array(group)
      ),
      held={**shared, 'decoding weights': copy, 'KV cache': slots.cache},
      rows=group,
      tokens=group * prompt,
      flops=group * count.pass_over(0, prompt),
      runs=every * -(-batch // group),
      smaller=FEWER_SLOTS,
    ),
    step(
      name='decode',
      lower=lambda: decode.decode.lower(
        network, copy, slots, abstract.array(), config.sampling, ()
      ),
      held={**shared, 'decoding weights': copy, 'KV cache': slots.cache},
      rows=plan.num_slots,
      tokens=plan.num_slots * reply,
      flops=plan.num_slots
      * (count.pass_over(prompt, reply) + count.logits(reply)),
      runs=every * decoding,
      growing=('KV cache',),
      smaller=FEWER_SLOTS,
      trips=reply,
    ),
  ]


def _learning(
  config: RLHFConfig,
  networks: ppo_step.Networks,
  tx: Any,
  state: Any,
  frozen: Any,
) -> list[StageStep]:
  """What follows a rollout; a reply and its prompt fill a row."""
  model = networks.policy.config
  count, reply = Counter(model), config.sampling.max_new_tokens
  length, part = (
    config.data.row_length,
    config.data.batch_size // config.minibatches,
  )
  batch = rollout.ReplyBatch(
    packed=abstract.packed(part, length, part, 1),
    reply_index=abstract.array(part, reply),
    example=abstract.array(part),
  )
  number = functools.partial(
    abstract.array, config.data.batch_size, reply, dtype='float32'
  )
  goal = ppo_step.Targets(
    mask=number(dtype='bool'),
    log_probs=number(),
    values=number(),
    advantages=number(),
    returns=number(),
  )
  score = ppo_step.make_score(config, networks)
  update = ppo_step.make_update(config, networks, tx)
  body, head = count.pass_over(0, length), count.logits(reply)
  reads_policy = ppo_step.reads_policy(config, model)
  reads = 3 + (reads_policy and not config.share_trunk)
  trained = 1 if config.share_trunk else 2
  step = functools.partial(
    StageStep,
    held={**_trained(state), 'frozen weights': frozen, 'batch': batch},
    rows=part,
    context=length,
    tokens=part * length,
    smaller='raise minibatches',
  )
  rounds = config.num_iterations * config.minibatches
  return [
    step(
      name='score',
      lower=lambda: jax.jit(score).lower(state.params, frozen, batch),
      flops=part * (reads * body + (1 + reads_policy) * head),
      runs=rounds,
      is_training=False,
    ),
    step(
      name='update',
      lower=lambda: jax.jit(update, donate_argnums=0).lower(state, batch, goal),
      flops=3 * part * (trained * body + head),
      runs=rounds * config.passes,
    ),
  ]
