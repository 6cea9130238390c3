"""Sampling replies with slots that are filled again.

Where the job has a `prompt_length`, all replies are `max_new` tokens long, and
calls for one token are timed too: the rest is decoding alone.
"""

from __future__ import annotations

import jax
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import SamplingConfig
from hh_jax.generation import decode

NUM_GREEDY, GREEDY_TOKENS = 8, 24


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
  first = lists['prompts'][:NUM_GREEDY]
  greedy = decode.generate(
    model,
    params if is_endless else setting.without_end(params),
    first,
    np.arange(len(first)),
    jax.random.key(0),
    SamplingConfig(
      max_new_tokens=GREEDY_TOKENS, temperature=1e-6, stop_at_turn=False
    ),
  )
  setting.finish(
    options.out,
    units=float(np.mean(tokens)),
    samples=samples,
    parts=parts,
    checks={
      'greedy': greedy.tokens.tolist(),
      'mean_reply': [float(np.mean(tokens)) / len(prompts)],
    },
    settings=f'{setting.settings(job)}; {job["slots"]} slots',
  )


if __name__ == '__main__':
  main()
