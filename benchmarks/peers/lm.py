"""One step of language-model training: PyTorch, eager or compiled.

`micro` rows at a time where all logits would not fit into memory.
"""

from __future__ import annotations

import numpy as np
import torch
import transformers

from benchmarks import clock
from benchmarks.peers import setting


def main() -> None:
  options = clock.arguments()
  job = options.job
  model = setting.network(
    transformers.GPTNeoXForCausalLM, options.inputs, 'policy'
  )
  text = np.load(options.inputs / 'text.npy')[: job['rows']]
  tokens = torch.tensor(text, dtype=torch.long, device=setting.DEVICE)
  pieces = tokens.split(job.get('micro', len(tokens)))
  adamw = torch.optim.AdamW(
    model.parameters(),
    lr=job['rate'],
    betas=(0.9, 0.95),
    weight_decay=0.01,
    fused=True,
  )
  with torch.no_grad(), setting.precision(job):
    logits = model(input_ids=tokens[:1], use_cache=False).logits[0, :-1]
  log_probs = logits.float().log_softmax(-1).gather(1, tokens[0, 1:, None])
  network = torch.compile(model) if job['variant'] == 'compile' else model
  losses = []

  def run() -> None:
    loss = torch.zeros((), device=setting.DEVICE)
    for piece in pieces:
      with setting.precision(job):
        part = network(input_ids=piece, labels=piece, use_cache=False).loss
        part = part * (len(piece) / len(tokens))
      part.backward()
      loss += part.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    losses.append(loss.item())
    setting.synchronise()

  samples = clock.seconds_of(run, job['repeats'])
  setting.finish(
    options.out,
    units=text.size,
    samples=samples,
    checks={'log_probs': log_probs[:, 0].tolist(), 'losses': losses[:3]},
    settings=f'torch {torch.__version__} {job["variant"]}, '
    f'{setting.settings(job)}, sdpa, fused AdamW',
  )


if __name__ == '__main__':
  main()
