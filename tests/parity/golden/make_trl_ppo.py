"""Makes the two PPO rollouts that `tests/parity/test_trl_parity.py` repeats.

  python -m tests.parity.golden.make_trl_ppo

Needs torch and trl 1.12.0, the last release with PPO; the tests need neither.
The real `PPOTrainer` trains on replies that are given to it instead of
sampled: `full` has replies of full length, in `ended` most of them end early
with end-of-text. Each file holds the networks before (`policy/...`,
`ref/...`, `reward/...`, `value/...`), the trained ones after (`after/...`),
tokens, the trainer's metrics, the tables it made on the way, and the versions.
"""

import pathlib
import tempfile

import datasets
import numpy as np
import tokenizers
import torch
import transformers
import trl
from trl.experimental import ppo
from trl.experimental.ppo import ppo_trainer

FOLDER = pathlib.Path(__file__).parent / 'trl_ppo'
TRL = '1.12.0'
VOCAB, PAD, EOS = 24, 0, 1
BATCH, PROMPT, REPLY = 8, 6, 5
EPOCHS = 3
CONFIG = transformers.GPTNeoXConfig(
  vocab_size=VOCAB,
  hidden_size=16,
  intermediate_size=24,
  num_hidden_layers=2,
  num_attention_heads=4,
  max_position_embeddings=64,
  rotary_pct=0.5,
  num_labels=1,
  pad_token_id=PAD,
  eos_token_id=EOS,
)


def versions() -> str:
  """What made a file; refuses another TRL than the tests describe."""
  if trl.__version__ != TRL:
    raise SystemExit(f'trl {trl.__version__} is here, {TRL} is wanted')
  torch.set_num_threads(1)  # the order of sums is part of the file
  return (
    f'torch {torch.__version__}, transformers {transformers.__version__}, '
    f'trl {TRL}'
  )


def network(kind: type, seed: int) -> torch.nn.Module:
  """A network with random weights, norms and biases included."""
  generator = torch.Generator().manual_seed(seed)
  torch.manual_seed(seed)  # modules draw their first weights from here
  model = kind(CONFIG)
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
  return model.eval()


def tokenizer() -> transformers.PreTrainedTokenizerFast:
  """Words that are their own ids; the trainer only pads with it."""
  words = {str(number): number for number in range(VOCAB)}
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizers.Tokenizer(
      tokenizers.models.WordLevel(words, unk_token=str(PAD))
    ),
    pad_token=str(PAD),
    eos_token=str(EOS),
    padding_side='left',
  )


def replies(generator: torch.Generator, has_ends: bool) -> torch.Tensor:
  """[BATCH, REPLY] ids; with ends, reply e ends with its token e % 7."""
  drawn = torch.randint(3, VOCAB, (BATCH, REPLY), generator=generator)
  if has_ends:
    for e in range(BATCH):
      if e % 7 < REPLY:
        drawn[e, e % 7] = EOS
  return drawn


def make(name: str, has_ends: bool) -> None:
  """Trains on one rollout and writes what happened."""
  made_by = versions()
  generator = torch.Generator().manual_seed(5)
  prompts = torch.randint(3, VOCAB, (BATCH, PROMPT), generator=generator)
  given = replies(generator, has_ends)
  causal = transformers.GPTNeoXForCausalLM
  scoring = transformers.GPTNeoXForSequenceClassification
  policy, ref = network(causal, 0), network(causal, 0)
  with torch.no_grad():  # a policy near its reference, as in training
    for parameter in policy.parameters():
      parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
  reward, value = network(scoring, 2), network(scoring, 3)
  saved = {
    f'{role}/{key}': tensor.numpy().copy()
    for role, model in (
      ('policy', policy),
      ('ref', ref),
      ('reward', reward),
      ('value', value),
    )
    for key, tensor in model.state_dict().items()
  }
  settings = ppo.PPOConfig(
    output_dir=tempfile.mkdtemp(),
    per_device_train_batch_size=BATCH,
    gradient_accumulation_steps=1,
    num_mini_batches=1,
    num_ppo_epochs=EPOCHS,
    total_episodes=BATCH,
    num_sample_generations=0,
    learning_rate=0.01,
    lr_scheduler_type='constant',
    response_length=REPLY,
    temperature=0.8,
    stop_token='eos' if has_ends else None,
    kl_coef=0.05,
    lam=0.9,
    gamma=0.97,
    vf_coef=0.5,
    gradient_checkpointing=False,
    bf16=False,
    use_cpu=True,
    report_to='none',
    save_strategy='no',
    logging_steps=1,
  )
  tables: dict[str, np.ndarray] = {}
  read: list[tuple[torch.Tensor, torch.Tensor]] = []
  whiten = ppo_trainer.masked_whiten
  select = ppo_trainer.selective_log_softmax

  def watched_select(logits, index):
    found = select(logits, index)
    read.append((index.clone(), found.detach().clone()))
    return found

  def watched_whiten(values, mask, shift_mean=True):
    tables['advantages'], tables['mask'] = values.numpy(), mask.numpy()
    return whiten(values, mask, shift_mean)

  def given_replies(model, queries, batch_size, pad_token_id, config):
    found = [(prompts == query).all(1).nonzero()[0, 0] for query in queries]
    tables['order'] = torch.stack(found).numpy()
    whole = torch.cat([queries, given[tables['order']]], 1)
    logits = ppo_trainer.forward(model, whole, pad_token_id).logits
    return whole, logits[:, PROMPT - 1 : -1] / (settings.temperature + 1e-7)

  ppo_trainer.masked_whiten = watched_whiten
  ppo_trainer.selective_log_softmax = watched_select
  ppo_trainer.batch_generation = given_replies
  transformers.set_seed(5)  # the order of every pass, and with it of sums
  trainer = ppo.PPOTrainer(
    args=settings,
    processing_class=tokenizer(),
    model=policy,
    ref_model=ref,
    reward_model=reward,
    value_model=value,
    train_dataset=datasets.Dataset.from_dict({'input_ids': prompts.tolist()}),
  )
  trainer.train()
  ppo_trainer.masked_whiten = whiten
  ppo_trainer.selective_log_softmax = select
  # The policy that sampled, its reference, then the policy of each pass, which
  # goes through the rollout in an order of its own.
  for which, (index, found) in zip(
    ('old', 'ref', *range(EPOCHS)), read, strict=True
  ):
    rows = [
      (index == reply).all(1).nonzero()[0, 0]
      for reply in given[tables['order']]
    ]
    tables[f'log_probs/{which}'] = found[torch.stack(rows)].numpy()
  metrics = {
    f'metric/{key}': np.float64(number)
    for key, number in trainer.state.log_history[0].items()
    if '/' in key
  }
  after = {
    f'after/{role}/{key}': tensor.numpy()
    for role, model in (('policy', policy), ('value', value))
    for key, tensor in model.state_dict().items()
  }
  FOLDER.mkdir(parents=True, exist_ok=True)
  np.savez_compressed(
    FOLDER / f'{name}.npz',
    versions=made_by,
    prompts=prompts.numpy(),
    replies=given.numpy(),
    **saved,
    **metrics,
    **tables,
    **after,
  )


if __name__ == '__main__':
  make('full', has_ends=False)
  make('ended', has_ends=True)
