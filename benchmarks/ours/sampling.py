"""Sampling replies with slots that are filled again.

Where the job has a `prompt_length`, all replies are `max_new` tokens long, and
calls for one token are timed too: the rest is decoding alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import SamplingConfig
from hh_jax.generation import best_of_k, decode
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params

NUM_GREEDY, GREEDY_TOKENS = 8, 24


def greedy_text(
  model: Transformer,
  params: Params,
  prompts: Sequence[np.ndarray],
  k: int = 1,
) -> list[list[int]]:
  """The likeliest tokens that continue the first prompts.

  Args:
    model: Of the policy.
    params: Weights that never end a reply.
    prompts: Ids, of which the first `NUM_GREEDY` are continued.
    k: Replies to each, which must come out the same.
  """
  prompts = prompts[:NUM_GREEDY]
  found = decode.generate(
    model,
    params,
    prompts,
    best_of_k.reply_ids(np.arange(len(prompts)), k),
    jax.random.key(0),
    SamplingConfig(
      max_new_tokens=GREEDY_TOKENS, temperature=1e-6, stop_at_turn=False
    ),
  )
  groups = found.tokens.reshape(len(prompts), k, -1)
  if (groups != groups[:, :1]).any():
    raise RuntimeError(f'greedy replies to one prompt differ: {groups}')
  return groups[:, 0].tolist()


def main() -> None:
  options = clock.arguments()
  job = options.job
  model, params = setting.network(options.inputs, 'policy', job)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = clock.prompts_of(lists, job)
  rounds, tokens = 0, []

  def sample(max_new: int) -> int:
    nonlocal rounds
    rounds += 1
    found = decode.generate(
      model,
      params,
      prompts,
      np.arange(len(prompts)),
      jax.random.key(rounds),
      SamplingConfig(
        max_new_tokens=max_new, slots=job['slots'], stop_at_turn=False
      ),
    )
    return int(found.num_tokens.sum())

  def run() -> None:
    tokens.append(sample(job['max_new']))

  def warm_up() -> None:
    for _ in range(setting.WARM_UP):
      run()

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  is_endless = bool(job.get('prompt_length'))
  parts = {}
  if is_endless:
    parts['first'] = clock.seconds_of(lambda: sample(1), job['repeats'])
  endless = params if is_endless else setting.without_end(params)
  setting.finish(
    options.out,
    units=float(np.mean(tokens)),
    samples=samples,
    parts=parts,
    checks={
      'greedy': greedy_text(model, endless, lists['prompts']),
      'mean_reply': [float(np.mean(tokens)) / len(prompts)],
    },
    settings=f'{setting.settings(job)}; {job["slots"]} slots',
  )


if __name__ == '__main__':
  main()
