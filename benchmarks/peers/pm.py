"""Preference-model training with TRL's RewardTrainer.

`sorted` gives it the comparisons sorted by length, so that a batch holds
hardly any padding: the best that grouping by length could do. `micro` pairs at
a time where a whole batch would not fit into memory.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import datasets
import numpy as np
import torch
import transformers
import trl

from benchmarks import clock
from benchmarks.peers import setting, words

NAMES = ('first_loss', 'second_loss')


class Watch(transformers.TrainerCallback):
  """When each step ended; calls `look` after the first one."""

  def __init__(self) -> None:
    self.times: list[float] = []
    self.look: Callable[[], None] = lambda: None

  def on_train_begin(self, *args: object, **kwargs: object) -> None:
    self.times.append(time.perf_counter())

  def on_step_end(self, *args: object, **kwargs: object) -> None:
    setting.synchronise()
    self.times.append(time.perf_counter())
    if len(self.times) == 2:
      self.look()


def main() -> None:
  options = clock.arguments()
  job = options.job
  model = setting.network(
    transformers.GPTNeoXForSequenceClassification, options.inputs, 'pm'
  )
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  num_steps, size = job['batches'], job['pairs']
  micro = job.get('micro', size)
  rows = [
    {
      f'{name}_ids': [*prompt.tolist(), *reply.tolist(), words.EOC]
      for name, reply in (('chosen', chosen), ('rejected', rejected))
    }
    for prompt, chosen, rejected in zip(
      lists['prompts'], lists['chosen'], lists['rejected'], strict=True
    )
  ][: num_steps * size]
  first, second = rows[:size], rows[size : 2 * size]
  if job['variant'] == 'sorted':
    rows = sorted(rows, key=lambda row: max(map(len, row.values())))
  watch = Watch()
  trainer = trl.RewardTrainer(
    model=model,
    args=trl.RewardConfig(
      output_dir=tempfile.mkdtemp(),
      per_device_train_batch_size=micro,
      gradient_accumulation_steps=size // micro,
      max_steps=num_steps * (1 + job['repeats']),
      learning_rate=job['rate'],
      lr_scheduler_type='constant',
      train_sampling_strategy='sequential',
      max_length=None,
      gradient_checkpointing=False,
      bf16=job['dtype'] == 'bfloat16',
      use_cpu=setting.IS_CPU,
      report_to='none',
      save_strategy='no',
      logging_strategy='no',
      disable_tqdm=True,
    ),
    processing_class=words.tokenizer('right'),
    train_dataset=datasets.Dataset.from_list(rows),
    callbacks=[watch],
  )
  losses: list[float] = []
  scores = []
  for row in first:
    with torch.no_grad(), setting.precision(job):
      ids = torch.tensor([row['chosen_ids']], device=setting.DEVICE)
      found = model(ids).logits
    scores.append(float(found))

  def look(batch: list[dict[str, list[int]]]) -> None:
    with torch.no_grad(), setting.precision(job):
      tensors = trainer._prepare_inputs(trainer.data_collator(batch))
      losses.append(float(trainer.compute_loss(model, tensors)))

  look(first)
  if job['variant'] == 'plain':  # the others begin with another batch
    watch.look = lambda: look(second)
  trainer.train()
  ends = np.array(watch.times)[::num_steps]
  setting.finish(
    options.out,
    units=num_steps * size,
    samples=np.diff(ends)[1:],
    checks={'scores': scores, **dict(zip(NAMES, ([x] for x in losses)))},
    settings=f'TRL {trl.__version__} RewardTrainer, {setting.settings(job)}, '
    f'no checkpointing{", sorted by length" * (job["variant"] == "sorted")}',
  )


if __name__ == '__main__':
  main()
