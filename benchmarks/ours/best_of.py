"""Sixteen replies to each prompt, and their scores."""

from __future__ import annotations

import jax
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import SamplingConfig
from hh_jax.data import trees
from hh_jax.evals import scoring
from hh_jax.generation import best_of_k, decode


def main() -> None:
  options = clock.arguments()
  job = options.job
  policy, policy_params = setting.network(options.inputs, 'policy', job)
  pm, pm_params = setting.network(options.inputs, 'pm', job)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = lists['prompts'][: job['prompts']]
  ids = best_of_k.reply_ids(np.arange(len(prompts)), job['k'])
  sampling = SamplingConfig(
    max_new_tokens=job['max_new'], slots=job['slots'], stop_at_turn=False
  )
  rounds = 0

  def score(replies: list[list[np.ndarray]]) -> np.ndarray:
    items = [
      trees.best_of_k_tree(prompt, group)
      for prompt, group in zip(prompts, replies, strict=True)
    ]
    return scoring.score_trees(
      pm,
      pm_params,
      items,
      job['row_length'],
      job['k'],
      batch_size=job['prompts'],
    )

  def run() -> None:
    nonlocal rounds
    rounds += 1
    found = decode.generate(
      policy,
      policy_params,
      prompts,
      ids,
      jax.random.key(rounds),
      sampling,
    )
    contents = found.contents()
    groups = [
      contents[start : start + job['k']]
      for start in range(0, len(contents), job['k'])
    ]
    best_of_k.best_of(score(groups))

  samples = clock.seconds_of(run, job['repeats'])
  given = [[reply] * job['k'] for reply in lists['chosen'][: len(prompts)]]
  clock.finish(
    options.out,
    units=ids.size,
    samples=samples,
    checks={'scores': score(given)[:, 0].tolist()},
    settings=f'{setting.settings(job)}; {job["slots"]} slots, prompt once',
  )


if __name__ == '__main__':
  main()
