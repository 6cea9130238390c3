"""Makes the loss that `tests/parity/test_trl_reward_parity.py` repeats.

  python -m tests.parity.golden.make_trl_reward

Needs torch and trl 1.12.0; the test needs neither. One batch of comparisons
goes through `RewardTrainer`: the file holds the network (`model/...`), the
loss, its metrics, every gradient (`grad/...`), and the versions.
"""

import pathlib
import tempfile

import datasets
import numpy as np
import transformers
import trl

from tests.parity.golden import make_trl_ppo

FILE = pathlib.Path(__file__).parent / 'trl_reward.npz'
EOC = 2
NUM = 6


WRONG = 2  # the pair that the network judges the other way


def comparisons() -> list[tuple[list[int], list[int], list[int]]]:
  """Prompt, chosen and rejected ids of different lengths."""
  rng = np.random.default_rng(3)
  triples = [
    tuple(
      rng.integers(3, make_trl_ppo.VOCAB, rng.integers(low, high)).tolist()
      for low, high in ((2, 9), (1, 6), (1, 6))
    )
    for _ in range(NUM)
  ]
  prompt, better, worse = triples[WRONG]
  triples[WRONG] = prompt, worse, better
  return triples


def main() -> None:
  """Reads one batch and writes what the trainer said."""
  made_by = make_trl_ppo.versions()
  model = make_trl_ppo.network(transformers.GPTNeoXForSequenceClassification, 7)
  triples = comparisons()
  rows = [
    {
      'chosen_ids': [*prompt, *chosen, EOC],
      'rejected_ids': [*prompt, *rejected, EOC],
    }
    for prompt, chosen, rejected in triples
  ]
  tokenizer = make_trl_ppo.tokenizer()
  tokenizer.padding_side = 'right'
  trainer = trl.RewardTrainer(
    model=model,
    args=trl.RewardConfig(
      output_dir=tempfile.mkdtemp(),
      gradient_checkpointing=False,
      bf16=False,
      use_cpu=True,
      report_to='none',
    ),
    processing_class=tokenizer,
    train_dataset=datasets.Dataset.from_list(rows),
  )
  loss = trainer.compute_loss(model, trainer.data_collator(rows))
  loss.backward()
  metrics = {
    f'metric/{name}': np.float64(values[0])
    for name, values in trainer._metrics['eval'].items()
  }
  width = max(map(len, (part for triple in triples for part in triple)))
  padded = np.zeros((NUM, 3, width), np.int32)
  for number, triple in enumerate(triples):
    for column, part in enumerate(triple):
      padded[number, column, : len(part)] = part
  np.savez_compressed(
    FILE,
    versions=made_by,
    ids=padded,
    loss=loss.item(),
    **metrics,
    **{f'model/{key}': x.numpy() for key, x in model.state_dict().items()},
    **{
      f'grad/{key}': x.grad.numpy()
      for key, x in model.named_parameters()
      if x.grad is not None
    },
  )


if __name__ == '__main__':
  main()
