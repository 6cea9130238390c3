"""Networks of Qwen2's architecture, for peers that know no GPT-NeoX.

1. Depth, width, heads and vocabulary of a rung; three matrices of a gated MLP
   hold as many weights as two of a plain one.
2. The policy ends a reply at every token with nearly the same probability, as
   that of `benchmarks.inputs` does; see `end_replies`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.config import ModelConfig
from hh_jax.data import tokenizer as tokenizer_lib
from hh_jax.models import ladder

MLP_MULTIPLE = 32  # of the width of an MLP
LEVEL = 4.0  # of the constant coordinate, in norms of all others
NEVER = 30.0  # nats below zero
SPECIAL = [tokenizer_lib.PAD_ID, tokenizer_lib.EOT_ID, tokenizer_lib.EOC_ID]
NUM_ROWS, NUM_TOKENS = 8, 64  # random text that tells the level of the logits


def model_config(size: str, vocab_size: int) -> ModelConfig:
  """Qwen2's block at the depth and width of a rung."""
  width = ladder.model_config(size).model_dim
  return ladder.model_config(
    size,
    vocab_size=vocab_size,
    max_positions=2048,
    ffn_dim=MLP_MULTIPLE * round(8 * width / 3 / MLP_MULTIPLE),
    norm='rms',
    norm_eps=1e-6,
    mlp='swiglu',
    qkv_bias=True,
  )


def public_config(config: ModelConfig) -> dict[str, object]:
  """The same as transformers spells it."""
  return {
    'model_type': 'qwen2',
    'architectures': ['Qwen2ForCausalLM'],
    'num_hidden_layers': config.num_layers,
    'hidden_size': config.model_dim,
    'num_attention_heads': config.num_heads,
    'num_key_value_heads': config.kv_heads,
    'intermediate_size': config.width_of_ffn,
    'vocab_size': config.vocab_size,
    'max_position_embeddings': config.max_positions,
    'rope_theta': config.rotary_theta,
    'hidden_act': 'silu',
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tied_embedding,
    'attention_dropout': 0.0,
    'bos_token_id': tokenizer_lib.EOT_ID,
    'eos_token_id': tokenizer_lib.EOT_ID,
    'pad_token_id': tokenizer_lib.PAD_ID,
    'num_labels': 1,
  }


def end_replies(config: ModelConfig, params: dict, mean_length: float) -> dict:
  """Weights whose next token is end-of-text with probability 1 / mean_length.

  An RMS norm has no bias that could hold a constant, so the stream does, in
  its first coordinate (see `with_constant`). The rows of the special tokens in
  the output matrix lie on it, and those of the others have zero there. As the
  norm still divides by a length that varies a little, the probability is exact
  in the mean only.
  """
  # What the constant 1 comes out as tells the norm of everything else.
  trial = read_random_text(config, with_constant(params, 1.0))
  share = float(trial[..., 0].mean()) / np.sqrt(config.model_dim)
  params = with_constant(params, LEVEL * np.sqrt(1 / share**2 - 1))
  # The other coordinates come out of the norms as long as without it.
  params['blocks']['mlp_norm']['scale'][-1, 1:] *= np.sqrt(1 + LEVEL**2)
  params['final_norm']['scale'][1:] *= np.sqrt(1 + LEVEL**2)
  hidden = read_random_text(config, params)
  embedding, constant = params['embed']['embedding'], hidden[..., 0].mean()
  embedding[SPECIAL] = 0
  logits = hidden @ embedding[len(SPECIAL) :].T
  total = np.asarray(jax.nn.logsumexp(jnp.asarray(logits), axis=-1)).mean()
  embedding[SPECIAL, 0] = -NEVER / constant
  logit = total - np.log(mean_length - 1)
  embedding[tokenizer_lib.EOT_ID, 0] = logit / constant
  return params


def with_constant(params: dict, level: float) -> dict:
  """A copy whose stream ends with `level` in its first coordinate.

  The last attention puts it there: its weights sum to one, so the bias of one
  value comes out as it is. Nothing else reads or writes the coordinate.
  """
  params = jax.tree.map(np.array, params)
  blocks = params['blocks']
  params['embed']['embedding'][:, 0] = 0
  for name in ('out', 'down'):
    blocks[name]['kernel'][..., 0] = 0
  blocks['value']['kernel'][-1, :, 0] = 0
  blocks['value']['bias'][-1, 0] = level
  blocks['out']['kernel'][-1, 0] = 0
  blocks['out']['kernel'][-1, 0, 0] = 1
  blocks['mlp_norm']['scale'][-1, 0] = 0
  return params


def read_random_text(config: ModelConfig, params: dict) -> np.ndarray:
  """Hidden states [B, T, D] of random ids."""
  tokens = np.random.default_rng(0).integers(
    len(SPECIAL), config.vocab_size, (NUM_ROWS, NUM_TOKENS), dtype=np.int32
  )
  packed = ladder.rectangle(
    jnp.asarray(tokens), jnp.full(NUM_ROWS, NUM_TOKENS, jnp.int32)
  )
  forward = jax.jit(ladder.forward, static_argnums=0)
  return np.asarray(forward(ladder.build(config), params, packed).hidden)
