"""Sixteen replies to each prompt with transformers, and their scores."""

from __future__ import annotations

import numpy as np
import torch
import transformers

from benchmarks import clock
from benchmarks.peers import sampling, setting

EOT, EOC = 1, 2


def main() -> None:
  options = clock.arguments()
  job = options.job
  policy = sampling.decoding_network(job, options.inputs)
  pm = setting.network(
    transformers.GPTNeoXForSequenceClassification, options.inputs, 'pm'
  ).eval()
  if sampling.has_low_weights(job):
    pm = pm.to(torch.bfloat16)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  prompts = [prompt.tolist() for prompt in lists['prompts'][: job['prompts']]]
  tokens: list[int] = []

  def score(texts: list[list[int]]) -> list[float]:
    scores: list[float] = []
    for start in range(0, len(texts), job['slots']):
      ids, mask = setting.padded(texts[start : start + job['slots']], 'right')
      with torch.inference_mode():
        found = pm(input_ids=ids, attention_mask=mask, use_cache=False).logits
      scores += found[:, 0].float().tolist()
    return scores

  def run() -> None:
    texts = []
    group = job['slots'] // job['k']
    for start in range(0, len(prompts), group):
      asked = [
        p for p in prompts[start : start + group] for _ in range(job['k'])
      ]
      replies = sampling.sample(policy, asked, max_new_tokens=job['max_new'])
      tokens.extend(map(len, replies))
      for prompt, reply in zip(asked, replies, strict=True):
        content = reply[:-1] if reply[-1] == EOT else reply
        texts.append([*prompt, *content, EOC])
    found = torch.tensor(score(texts)).reshape(-1, job['k'])
    found.argmax(1)

  def warm_up() -> None:
    sampling.sample(policy, prompts[:2] * job['k'], max_new_tokens=16)

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  given = [
    [*prompt, *chosen.tolist(), EOC]
    for prompt, chosen in zip(prompts, lists['chosen'])
  ]
  setting.finish(
    options.out,
    units=len(prompts) * job['k'],
    samples=samples,
    checks={'scores': score(given), 'mean_reply': [float(np.mean(tokens))]},
    settings=f'transformers {transformers.__version__} generate, '
    f'{sampling.weights(job)}, batches of {job["slots"]}',
  )


if __name__ == '__main__':
  main()
