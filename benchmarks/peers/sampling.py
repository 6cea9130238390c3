"""Sampling replies with transformers.generate and its key-value cache.

In bfloat16 the weights are converted; `autocast` converts operands instead, and
`float32` asks whether low precision pays at all; `static` has a cache of fixed
size, with which transformers compiles the step on an accelerator. As on our
side, a job with a `prompt_length` times calls for one token too.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks import clock
from benchmarks.peers import setting

EOT = 1
NUM_GREEDY, GREEDY_TOKENS = 8, 24


def sample(
  model: transformers.PreTrainedModel,
  prompts: list[list[int]],
  *,
  is_autocast: bool = False,
  **options: object,
) -> list[list[int]]:
  """Replies to left-padded prompts, cut after end-of-text."""
  ids, mask = setting.padded(prompts, 'left')
  with torch.inference_mode(), autocast(is_autocast):
    whole = model.generate(
      input_ids=ids,
      attention_mask=mask,
      pad_token_id=0,
      **{'do_sample': True, 'top_k': 0, 'top_p': 1.0, **options},
    )
  replies = []
  for row in whole[:, ids.shape[1] :].tolist():
    replies.append(row[: row.index(EOT) + 1] if EOT in row else row)
  return replies


def autocast(is_on: bool) -> contextlib.AbstractContextManager[Any]:
  return setting.precision({'dtype': 'bfloat16' if is_on else 'float32'})


def greedy_text(
  model: transformers.PreTrainedModel,
  prompts: list[list[int]],
  is_autocast: bool,
) -> list[list[int]]:
  """The likeliest tokens of a model that never ends a reply."""
  return sample(
    model,
    prompts[:NUM_GREEDY],
    is_autocast=is_autocast,
    max_new_tokens=GREEDY_TOKENS,
    do_sample=False,
    top_k=None,
    top_p=None,
  )


def decoding_network(
  job: dict[str, object], inputs: object, name: str = 'policy'
) -> transformers.PreTrainedModel:
  """The policy, its weights in bfloat16 where the job is."""
  model = setting.network(transformers.GPTNeoXForCausalLM, inputs, name).eval()
  return model.to(torch.bfloat16) if has_low_weights(job) else model


def has_low_weights(job: dict[str, object]) -> bool:
  is_converted = job['variant'] not in ('autocast', 'float32')
  return job['dtype'] == 'bfloat16' and is_converted


def weights(job: dict[str, object]) -> str:
  """The precision in a few words."""
  if has_low_weights(job):
    return 'bfloat16 weights'
  return 'autocast' if job['variant'] == 'autocast' else 'float32'


def main() -> None:
  options = clock.arguments()
  job = options.job
  model = decoding_network(job, options.inputs)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = [prompt.tolist() for prompt in clock.prompts_of(lists, job)]
  is_endless = bool(job.get('prompt_length'))
  if is_endless:
    setting.end_never(model, EOT)
  is_autocast = job['variant'] == 'autocast'
  cache = {}
  if job['variant'] == 'static':
    cache = {'cache_implementation': 'static'}
  if job['variant'] == 'sorted':
    prompts = sorted(prompts, key=len)
  size, tokens = job['slots'], []

  def sample_all(max_new: int) -> int:
    count = 0
    for start in range(0, len(prompts), size):
      replies = sample(
        model,
        prompts[start : start + size],
        is_autocast=is_autocast,
        max_new_tokens=max_new,
        **cache,
      )
      count += sum(map(len, replies))
    return count

  def run() -> None:
    tokens.append(sample_all(job['max_new']))

  def warm_up() -> None:
    if cache:  # compiled for its size
      sample_all(job['max_new'])
    sample(model, prompts[:size], is_autocast=is_autocast, max_new_tokens=16)

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  parts = {}
  if is_endless:
    parts['first'] = clock.seconds_of(lambda: sample_all(1), job['repeats'])
  else:
    setting.end_never(model, EOT)
  first = [prompt.tolist() for prompt in lists['prompts'][:NUM_GREEDY]]
  setting.finish(
    options.out,
    units=float(np.mean(tokens)),
    samples=samples,
    parts=parts,
    checks={
      'greedy': greedy_text(model, first, is_autocast),
      'mean_reply': [float(np.mean(tokens)) / len(prompts)],
    },
    settings=f'transformers {transformers.__version__} generate, '
    f'{weights(job)}{", static cache" * bool(cache)}, batches of {size}'
    f'{" sorted by length" if job["variant"] == "sorted" else ""}',
  )


if __name__ == '__main__':
  main()
