"""Tiny folders in the layout of public models, each of a style of its own."""

import json

import numpy as np
import tokenizers

from hh_jax.config import ModelConfig
from hh_jax.models import public_config, public_layout, public_weights
from tests.data import samples

SHAPE = {
  'num_layers': 1,
  'model_dim': 16,
  'num_heads': 2,
  'ffn_dim': 24,
  'max_positions': 256,
}
LLAMA = {'norm': 'rms', 'mlp': 'swiglu'}
OPTIONS = {
  'gpt_neox': {
    'parallel_residual': True,
    'qkv_bias': True,
    'out_bias': True,
    'mlp_bias': True,
    'rotary_fraction': 0.25,
    'tied_embedding': False,
  },
  'llama': {**LLAMA, 'num_kv_heads': 1, 'tied_embedding': False},
  'qwen2': {**LLAMA, 'qkv_bias': True, 'tied_embedding': True},
}
# Where each style has its special tokens, in the order of their ids.
FIRST = {
  'gpt_neox': ('<|endoftext|>', '<|padding|>'),
  'llama': ('<unk>', '<s>', '</s>'),
  'qwen2': (),
}
LAST = {
  'gpt_neox': (),
  'llama': (),
  'qwen2': ('<|endoftext|>', '<|im_start|>', '<|im_end|>'),
}
END = {'gpt_neox': '<|endoftext|>', 'llama': '</s>', 'qwen2': '<|im_end|>'}
SPARE = {'gpt_neox': 5, 'llama': 0, 'qwen2': 7}  # rows of no token


def tokenizer(family):
  """A byte-level BPE; qwen2's special tokens are not in its model."""
  bpe = tokenizers.Tokenizer(
    tokenizers.models.BPE(unk_token='<unk>' if family == 'llama' else None)
  )
  bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  bpe.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=300,
    special_tokens=list(FIRST[family]),
    initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    show_progress=False,
  )
  bpe.train_from_iterator(samples.TEXTS, trainer)
  bpe.add_special_tokens(list(LAST[family]))
  if family == 'gpt_neox':  # runs of spaces, which are text
    bpe.add_tokens([' ' * 4])
  if family == 'llama':
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
      single='<s> $A', special_tokens=[('<s>', 1)]
    )
  return bpe


def weights(config, seed=0):
  """Random parameters, of which no two are equal."""
  rng = np.random.default_rng(seed)

  def draw(shape):
    return rng.normal(0, 0.6, shape.shape).astype(np.float32)

  def fill(tree):
    if isinstance(tree, dict):
      return {name: fill(branch) for name, branch in tree.items()}
    return draw(tree)

  return fill(public_layout.our_shapes(config))


def write(folder, bpe, config, params, **fields):
  """Writes all files of a folder; returns it."""
  folder.mkdir(parents=True)
  bpe.save(str(folder / 'tokenizer.json'))
  named = {**public_config.public_fields(config), **fields}
  (folder / 'config.json').write_text(json.dumps(named))
  public_weights.write(folder, named['model_type'], config, params)
  return folder


def make(folder, family, score=False, **fields):
  """A folder of a family with random weights."""
  bpe = tokenizer(family)
  config = ModelConfig(
    vocab_size=bpe.get_vocab_size() + SPARE[family],
    **SHAPE,
    **OPTIONS[family],
  )
  params = weights(config)
  if score:
    kernel = np.linspace(-1, 1, config.model_dim, dtype=np.float32)[:, None]
    head = {'kernel': kernel, 'bias': np.zeros(1, np.float32)}
    params = {**params, 'score_head': head}
  fields = {'eos_token_id': bpe.token_to_id(END[family]), **fields}
  return write(folder, bpe, config, params, **fields)


def edit(path, **fields):
  """Changes fields of a JSON file."""
  path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
