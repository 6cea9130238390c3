"""Sixteen replies to each prompt, and their scores."""

from __future__ import annotations

import jax
import numpy as np

from benchmarks import clock
from benchmarks.ours import sampling as sampling_lib
from benchmarks.ours import setting
from hh_jax.config import SamplingConfig
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
  rounds, tokens = 0, []

  def score(replies: list[list[np.ndarray]]) -> np.ndarray:
    return scoring.score_candidates(
      pm, pm_params, setting.special_tokens(), prompts, replies
    )

  def run() -> None:
    nonlocal rounds
    rounds += 1
    found = decode.generate(
      policy, policy_params, prompts, ids, jax.random.key(rounds), sampling
    )
    tokens.append(int(found.num_tokens.sum()))
    contents = found.contents()
    groups = [
      contents[start : start + job['k']]
      for start in range(0, len(contents), job['k'])
    ]
    best_of_k.best_of(score(groups))

  def warm_up() -> None:
    for _ in range(setting.WARM_UP):
      run()

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  given = [[reply] * job['k'] for reply in lists['chosen'][: len(prompts)]]
  endless = setting.without_end(policy_params)
  setting.finish(
    options.out,
    units=ids.size,
    samples=samples,
    checks={
      'greedy': sampling_lib.greedy_text(policy, endless, prompts, job['k']),
      'scores': score(given)[:, 0].tolist(),
      'mean_reply': [float(np.mean(tokens)) / ids.size],
    },
    settings=f'{setting.settings(job)}; {job["slots"]} slots, prompt once',
  )


if __name__ == '__main__':
  main()
