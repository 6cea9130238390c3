"""Sampling replies with slots that are filled again."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import SamplingConfig
from hh_jax.data.tokenizer import EOT_ID
from hh_jax.generation import decode
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params

NUM_GREEDY, GREEDY_TOKENS = 8, 24


def without_end(params: Params) -> Params:
  """Weights under which end-of-text is never the likeliest token."""
  embedding = params['embed']['embedding'].at[EOT_ID].multiply(-1)
  return {**params, 'embed': {'embedding': embedding}}


def greedy_text(
  model: Transformer, params: Params, prompts: Sequence[np.ndarray]
) -> list[list[int]]:
  """The likeliest tokens that continue the first prompts."""
  found = decode.generate(
    model,
    without_end(params),
    prompts[:NUM_GREEDY],
    np.arange(len(prompts[:NUM_GREEDY])),
    jax.random.key(0),
    SamplingConfig(
      max_new_tokens=GREEDY_TOKENS, temperature=1e-6, stop_at_turn=False
    ),
  )
  return found.tokens.tolist()


def main() -> None:
  options = clock.arguments()
  job = options.job
  model, params = setting.network(options.inputs, 'policy', job)
  prompts = clock.read_lists(options.inputs / 'comparisons.npz')['prompts']
  prompts = prompts[: job['prompts']]
  sampling = SamplingConfig(
    max_new_tokens=job['max_new'], slots=job['slots'], stop_at_turn=False
  )
  rounds, tokens = 0, []

  def run() -> None:
    nonlocal rounds
    rounds += 1
    found = decode.generate(
      model,
      params,
      prompts,
      np.arange(len(prompts)),
      jax.random.key(rounds),
      sampling,
    )
    tokens.append(int(found.num_tokens.sum()))

  def warm_up() -> None:
    for _ in range(setting.WARM_UP):
      run()

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  clock.finish(
    options.out,
    units=float(np.mean(tokens)),
    samples=samples,
    checks={
      'greedy': greedy_text(model, params, prompts),
      'mean_reply': [float(np.mean(tokens)) / len(prompts)],
    },
    settings=f'{setting.settings(job)}; {job["slots"]} slots',
  )


if __name__ == '__main__':
  main()
