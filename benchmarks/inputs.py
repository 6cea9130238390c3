"""Makes what both sides of a benchmark read: texts as ids, and weights.

1. Real comparisons where there are any; else a committed list of their lengths
   in tokens, filled with random ids.
2. The networks are Pythia's architecture at the widths of the ladder, written
   in the layout of public files, so that both sides open the same weights;
   those for a peer without it are Qwen2's (`benchmarks.qwen2`).
3. The policy ends a reply at every token with the same probability, so that
   lengths have the mean of real replies; see `end_replies`.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

import jax
import numpy as np

from benchmarks import clock, qwen2
from hh_jax.config import ModelConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import tokenizer as tokenizer_lib
from hh_jax.models import heads, ladder, public_weights

LENGTHS = pathlib.Path(__file__).with_name('hh_lengths.json')
LONGEST = 512  # tokens of a prompt and a reply; longer pairs are left out
SAMPLED = 128  # most tokens of a sampled reply
MEAN_REPLY = 50.0  # tokens; of the real replies (see `hh_lengths.json`)
END_BIAS = 20.0
# Of the block matrices at the start: a network whose blocks hardly matter
# would hide a wrong one.
BLOCK_SCALE = 4.0
SEED = 0
NUM_ROWS, ROW_LENGTH = 128, 512  # of text for language modelling
NEOX, QWEN2 = FAMILIES = ('gpt_neox', 'qwen2')  # a folder each


@dataclasses.dataclass(frozen=True)
class Texts:
  """Comparisons as ids; all of them fit into `LONGEST` tokens."""

  prompts: list[np.ndarray]
  chosen: list[np.ndarray]
  rejected: list[np.ndarray]
  num_left_out: int

  @classmethod
  def fitting(cls, triples: Sequence[Sequence[np.ndarray]]) -> Texts:
    kept = [
      (prompt, chosen, rejected)
      for prompt, chosen, rejected in triples
      if len(prompt) + max(len(chosen), len(rejected), SAMPLED) < LONGEST
    ]
    order = np.random.default_rng(SEED).permutation(len(kept))
    prompts, chosen, rejected = zip(*(kept[i] for i in order), strict=True)
    num_left_out = len(triples) - len(kept)
    return cls(list(prompts), list(chosen), list(rejected), num_left_out)


def real_texts(data_dir: str, vocab_size: int) -> Texts:
  """Real comparisons, their tokenizer trained on themselves."""
  found = comparisons_lib.read_comparisons(data_dir).comparisons
  transcripts = [
    dialogue_lib.format_transcript(pair.prompt.reply(pair.chosen))
    for pair in found
  ]
  tokenizer = tokenizer_lib.Tokenizer.train(transcripts, vocab_size)
  return Texts.fitting(
    [
      (
        tokenizer.encode_prompt(pair.prompt),
        tokenizer.encode_reply(pair.chosen),
        tokenizer.encode_reply(pair.rejected),
      )
      for pair in found
    ]
  )


def random_texts(vocab_size: int) -> Texts:
  """Random ids of the committed lengths."""
  generator = np.random.default_rng(SEED)
  lengths = json.loads(LENGTHS.read_text())['lengths']
  smallest = len(tokenizer_lib.SPECIAL_TOKENS)
  return Texts.fitting(
    [
      [
        generator.integers(smallest, vocab_size, n, dtype=np.int32)
        for n in triple
      ]
      for triple in lengths
    ]
  )


def model_config(size: str, vocab_size: int, family: str = NEOX) -> ModelConfig:
  """The family's block, Pythia's or Qwen2's, at a rung's depth and width."""
  if family == QWEN2:
    return qwen2.model_config(size, vocab_size)
  return ladder.model_config(
    size,
    vocab_size=vocab_size,
    max_positions=2048,
    mlp='gelu_tanh',
    parallel_residual=True,
    qkv_bias=True,
    out_bias=True,
    mlp_bias=True,
    rotary_fraction=0.25,
  )


def public_config(config: ModelConfig) -> dict[str, object]:
  """Pythia's block as transformers spells it."""
  return {
    'model_type': NEOX,
    'architectures': ['GPTNeoXForCausalLM'],
    'num_hidden_layers': config.num_layers,
    'hidden_size': config.model_dim,
    'num_attention_heads': config.num_heads,
    'intermediate_size': config.width_of_ffn,
    'vocab_size': config.vocab_size,
    'max_position_embeddings': config.max_positions,
    'rotary_pct': config.rotary_fraction,
    'hidden_act': 'gelu_pytorch_tanh',
    'layer_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tied_embedding,
    'use_parallel_residual': config.parallel_residual,
    'attention_dropout': 0.0,
    'hidden_dropout': 0.0,
    'bos_token_id': tokenizer_lib.EOT_ID,
    'eos_token_id': tokenizer_lib.EOT_ID,
    'pad_token_id': tokenizer_lib.PAD_ID,
    'num_labels': 1,
  }


def louder(params: dict) -> dict:
  """Weights whose blocks matter as much as those of a trained network."""

  def scale(path: tuple, x: np.ndarray) -> np.ndarray:
    return x * BLOCK_SCALE if path[-1].key == 'kernel' else x

  blocks = jax.tree_util.tree_map_with_path(scale, params['blocks'])
  return {**params, 'blocks': blocks}


def end_replies(params: dict, mean_length: float) -> dict:
  """Weights whose next token is end-of-text with probability 1 / mean_length.

  The bias of the last norm is a long vector along one direction, and the rows
  of the special tokens in the output matrix lie on it: end-of-text has a
  constant logit; the other special tokens are never sampled.
  """
  embedding = np.array(params['embed']['embedding'])
  vocab_size, width = embedding.shape
  direction = np.ones(width, np.float32) / np.sqrt(width)
  others = embedding - np.outer(embedding @ direction, direction)
  spread = width * float(np.var(others)) / 2
  logit = np.log(vocab_size) + spread - np.log(mean_length)
  others[tokenizer_lib.EOT_ID] = direction * logit / END_BIAS
  others[tokenizer_lib.PAD_ID] = -direction
  others[tokenizer_lib.EOC_ID] = -direction
  norm = {**params['final_norm'], 'bias': END_BIAS * direction}
  return {**params, 'embed': {'embedding': others}, 'final_norm': norm}


def write_networks(
  folder: pathlib.Path, family: str, config: ModelConfig
) -> None:
  """Writes `policy/` and `pm/`, each a public model folder."""
  is_qwen2 = family == QWEN2
  public = (qwen2.public_config if is_qwen2 else public_config)(config)
  model = ladder.build(config)
  for number, name in enumerate(('policy', 'pm')):
    place = folder / name
    place.mkdir(parents=True)
    params = ladder.init(model, jax.random.key(number))
    params = louder(jax.tree.map(np.asarray, params))
    if name == 'policy' and is_qwen2:
      params = qwen2.end_replies(config, params, MEAN_REPLY)
    elif name == 'policy':
      params = end_replies(params, MEAN_REPLY)
    else:
      params['score_head'] = heads.init_score_head(jax.random.key(2), config)
    (place / 'config.json').write_text(json.dumps(public))
    public_weights.write(place, family, config, params)


def packed_text(texts: Texts, num_rows: int, row_length: int) -> np.ndarray:
  """Dialogues one after the other, end-of-text between them, [N, T] int32."""
  end = np.array([tokenizer_lib.EOT_ID], np.int32)
  parts: list[np.ndarray] = []
  for prompt, chosen in zip(texts.prompts, texts.chosen, strict=True):
    parts += [prompt, chosen, end]
  flat = np.concatenate(parts)
  return np.resize(flat, (num_rows, row_length)).astype(np.int32)


def kind_of_texts(data_dir: str) -> str:
  """What the sides read, in a few words."""
  return 'real' if data_dir else 'random ids of the real lengths'


def prepare(
  folder: pathlib.Path,
  size: str,
  vocab_size: int,
  data_dir: str,
  families: Sequence[str] = FAMILIES,
) -> dict[str, object]:
  """Writes everything a side reads; returns facts about it."""
  texts = (
    real_texts(data_dir, vocab_size) if data_dir else random_texts(vocab_size)
  )
  for family in families:
    config = model_config(size, vocab_size, family)
    write_networks(folder / family, family, config)
  clock.write_lists(
    folder / 'comparisons.npz',
    prompts=texts.prompts,
    chosen=texts.chosen,
    rejected=texts.rejected,
  )
  np.save(folder / 'text.npy', packed_text(texts, NUM_ROWS, ROW_LENGTH))
  return {
    'comparisons': len(texts.prompts),
    'left_out': texts.num_left_out,
    'texts': kind_of_texts(data_dir),
    'reply_tokens': quantiles(texts.chosen),
    'prompt_tokens': quantiles(texts.prompts),
  }


def quantiles(items: Sequence[np.ndarray]) -> dict[str, float]:
  lengths = np.array([len(item) for item in items])
  return {
    'mean': round(float(lengths.mean()), 1),
    'p50': float(np.median(lengths)),
    'p90': float(np.quantile(lengths, 0.9)),
  }


def write_lengths(data_dir: str, vocab_size: int, num: int) -> None:
  """Writes the committed list of lengths, of a random part of the data."""
  texts = real_texts(data_dir, vocab_size)
  rows = zip(texts.prompts, texts.chosen, texts.rejected, strict=True)
  content = {
    'about': 'tokens of prompt, chosen and rejected reply of HH comparisons',
    'vocabulary': vocab_size,
    'lengths': [[len(part) for part in row] for row in rows][:num],
  }
  LENGTHS.write_text(json.dumps(content) + '\n')


if __name__ == '__main__':
  write_lengths(sys.argv[1], 8192, 2000)
