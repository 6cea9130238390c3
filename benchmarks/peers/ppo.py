"""PPO iterations with TRL 1.12.0, the last release that has PPO.

Its phases are told apart by when it calls three of its own functions. Where
memory is short it reads `rollout` replies and trains on `micro` at a time.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import torch
import transformers
import trl
from trl.experimental import ppo
from trl.experimental.ppo import ppo_trainer

from benchmarks import clock
from benchmarks.peers import setting, words

NUM_CHECKED = 8
WARM_UP = 1  # iterations; nothing is compiled


class Phases(transformers.TrainerCallback):
  """When each phase of each iteration ended."""

  def __init__(self) -> None:
    self.marks = clock.Marks()
    self.look: Callable[[], None] = lambda: None  # after the first iteration

  def watch(self) -> None:
    """Wraps the functions that end sampling and scoring."""
    generate, whiten = ppo_trainer.batch_generation, ppo_trainer.masked_whiten

    def timed_generate(*args: Any) -> Any:
      found = generate(*args)
      setting.synchronise()
      self.marks.sampled.append(time.perf_counter())
      self.marks.lengths.append(mean_length(found[0][:, args[1].shape[1] :]))
      return found

    def timed_whiten(*args: Any, **kwargs: Any) -> Any:
      setting.synchronise()
      self.marks.scored.append(time.perf_counter())
      return whiten(*args, **kwargs)

    ppo_trainer.batch_generation = timed_generate
    ppo_trainer.masked_whiten = timed_whiten

  def on_train_begin(self, *args: object, **kwargs: object) -> None:
    self.marks.updated.append(time.perf_counter())

  def on_step_end(self, *args: object, **kwargs: object) -> None:
    setting.synchronise()
    if len(self.marks.updated) == 1:
      self.look()  # in the warm-up
    self.marks.updated.append(time.perf_counter())


def mean_length(replies: torch.Tensor) -> float:
  """Tokens up to the first end-of-text, which is counted."""
  is_end = replies == words.EOT
  before = (is_end.cumsum(1) == 0).sum(1)
  return float((before + is_end.any(1)).float().mean())


def mean_move(policy: torch.nn.Module, before: torch.nn.Module) -> float:
  """Mean distance of a parameter from where it was."""
  pairs = list(zip(policy.parameters(), before.parameters(), strict=True))
  moved = sum(float((x - y).detach().abs().sum()) for x, y in pairs)
  return moved / sum(x.numel() for x, _ in pairs)


def configuration(job: dict[str, Any]) -> ppo.PPOConfig:
  micro = micro_of(job)
  return ppo.PPOConfig(
    output_dir=tempfile.mkdtemp(),
    per_device_train_batch_size=micro,
    gradient_accumulation_steps=job['prompts'] // micro,
    num_mini_batches=job['minibatches'],
    local_rollout_forward_batch_size=job.get('rollout', job['prompts']),
    num_ppo_epochs=job['passes'],
    total_episodes=job['prompts'] * (WARM_UP + job['repeats']),
    num_sample_generations=0,
    learning_rate=job['rate'],
    adam_beta2=0.95,
    lr_scheduler_type='constant',
    response_length=job['max_new'],
    temperature=1.0,
    stop_token='eos',
    kl_coef=0.001,
    gradient_checkpointing=False,
    use_cpu=setting.IS_CPU,
    report_to='none',
    save_strategy='no',
    disable_tqdm=True,
  )


def step_by_minibatch(trainer: ppo.PPOTrainer, job: dict[str, Any]) -> None:
  """One optimizer step a minibatch, whatever `micro` is, as on our side.

  By itself the trainer makes one every `micro` replies, because every batch is
  the last of an epoch.
  """
  minibatch = job['prompts'] // job['minibatches']
  accelerator = trainer.accelerator
  accelerator.gradient_accumulation_steps = minibatch // micro_of(job)
  accelerator.gradient_state.plugin_kwargs['sync_with_dataloader'] = False


def micro_of(job: dict[str, Any]) -> int:
  return job.get('micro', job['prompts'] // job['minibatches'])


def read_given(
  policy: transformers.PreTrainedModel,
  pm: transformers.PreTrainedModel,
  lists: dict[str, list[np.ndarray]],
  longest: int,
) -> dict[str, list[float]]:
  """What policy and preference model say of some replies of the data."""
  found: dict[str, list[float]] = {'log_probs': [], 'scores': []}
  for prompt, chosen in list(zip(lists['prompts'], lists['chosen']))[
    :NUM_CHECKED
  ]:
    text = [*prompt.tolist(), *chosen[:longest].tolist(), words.EOC]
    ended = torch.tensor([text], device=setting.DEVICE)
    ids = ended[:, :-1]
    with torch.no_grad():
      logits = policy(input_ids=ids).logits[0, len(prompt) - 1 : -1]
      score = pm(input_ids=ended).logits
    log_probs = logits.float().log_softmax(-1)
    reply = ids[0, len(prompt) :, None]
    found['log_probs'].append(float(log_probs.gather(1, reply).mean()))
    found['scores'].append(float(score))
  return found


def main() -> None:
  options = clock.arguments()
  job = options.job
  causal = transformers.GPTNeoXForCausalLM
  scoring = transformers.GPTNeoXForSequenceClassification
  lists = clock.read_lists(options.inputs / 'comparisons.npz')

  def policy_network() -> transformers.PreTrainedModel:
    model = setting.network(causal, options.inputs, 'policy')
    if job.get('prompt_length'):
      setting.end_never(model, words.EOT)
    return model

  policy = policy_network()
  pm = setting.network(scoring, options.inputs, 'pm')
  checks = read_given(policy.eval(), pm.eval(), lists, job['max_new'])
  reference = policy_network()
  phases = Phases()
  phases.watch()

  def look() -> None:
    checks['moved'] = [mean_move(policy, reference) / job['rate']]

  phases.look = look
  trainer = ppo.PPOTrainer(
    args=configuration(job),
    processing_class=words.tokenizer('left'),
    model=policy,
    ref_model=reference,
    reward_model=pm,
    value_model=setting.network(scoring, options.inputs, 'pm'),
    train_dataset=datasets.Dataset.from_dict(
      # The same every iteration.
      {'input_ids': [p.tolist() for p in clock.prompts_of(lists, job)]}
    ),
    callbacks=[phases],
  )
  step_by_minibatch(trainer, job)
  is_low = job['dtype'] == 'bfloat16' and job['variant'] != 'shipped'
  with setting.precision(job) if is_low else contextlib.nullcontext():
    trainer.train()
  setting.finish(
    options.out,
    units=job['prompts'],
    **phases.marks.result(WARM_UP),
    checks={**checks, 'mean_reply': [float(np.mean(phases.marks.lengths))]},
    settings=f'TRL {trl.__version__} PPOTrainer, '
    f'{setting.settings(job) if is_low else "float32"}, no checkpointing',
  )


if __name__ == '__main__':
  main()
