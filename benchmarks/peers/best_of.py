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
  is_autocast = job['variant'] == 'autocast'
  tokens: list[int] = []

  def score(texts: list[list[int]]) -> list[float]:
    scores: list[float] = []
    for start in range(0, len(texts), job['slots']):
      ids, mask = setting.padded(texts[start : start + job['slots']], 'right')
      with torch.inference_mode(), sampling.autocast(is_autocast):
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
      replies = sampling.sample(
        policy, asked, is_autocast=is_autocast, max_new_tokens=job['max_new']
      )
      tokens.extend(map(len, replies))
      for prompt, reply in zip(asked, replies, strict=True):
        content = reply[:-1] if reply[-1] == EOT else reply
        texts.append([*prompt, *content, EOC])
    found = torch.tensor(score(texts)).reshape(-1, job['k'])
    found.argmax(1)

  def warm_up() -> None:
    asked = prompts[:2] * job['k']
    sampling.sample(policy, asked, is_autocast=is_autocast, max_new_tokens=16)

  samples = clock.seconds_of(run, job['repeats'], warm_up)
  given = [
    [*prompt, *chosen.tolist(), EOC]
    for prompt, chosen in zip(prompts, lists['chosen'])
  ]
  setting.end_never(policy, EOT)
  setting.finish(
    options.out,
    units=len(prompts) * job['k'],
    samples=samples,
    checks={
      'greedy': sampling.greedy_text(policy, prompts, is_autocast),
      'scores': score(given),
      'mean_reply': [float(np.mean(tokens))],
    },
    settings=f'transformers {transformers.__version__} generate, '
    f'{sampling.weights(job)}, batches of {job["slots"]}',
  )


if __name__ == '__main__':
  main()
