"""One vector a prompt and layer: what a network makes of what it is asked.

The paper does not say which token's activation is taken; both ways are here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.data.dialogue import Dialogue
from hh_jax.data.tokenizer import PAD_ID
from hh_jax.generation.plan import round_up
from hh_jax.models import ladder
from hh_jax.models.transformer import Transformer
from hh_jax.stages import loading
from hh_jax.types import Params

BATCH_SIZE = 32
POOLINGS = ('mean', 'last')  # of a prompt's tokens


@functools.partial(jax.jit, static_argnums=(0, 4))
def _pooled(
  model: Transformer,
  params: Params,
  tokens: jax.Array,
  lengths: jax.Array,
  pooling: str,
) -> jax.Array:
  """Returns one vector a row and layer, [L, B, D] float32."""
  packed = ladder.rectangle(tokens, lengths)
  streams = jnp.stack(ladder.streams(model, params, packed))
  column = jnp.arange(tokens.shape[1])[None]
  if pooling == 'mean':
    weight = (column < lengths[:, None]) / lengths[:, None]
  else:
    weight = column == lengths[:, None] - 1
  return jnp.einsum('LBTD,BT->LBD', streams, weight.astype(jnp.float32))


def of_prompts(
  run: loading.Run, prompts: Sequence[Dialogue], pooling: str, longest: int
) -> np.ndarray:
  """Activations of dialogues that end on a human turn, [L, N, D] float32.

  Args:
    run: Whose network.
    prompts: What is asked.
    pooling: One of `POOLINGS`.
    longest: Tokens of a prompt; what is longer loses its left end.
  """
  ids = [run.tokenizer.encode_prompt(prompt)[-longest:] for prompt in prompts]
  order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
  found: np.ndarray | None = None
  for start in range(0, len(order), BATCH_SIZE):
    chosen = order[start : start + BATCH_SIZE]
    width = round_up(max(len(ids[i]) for i in chosen))
    tokens = np.full((BATCH_SIZE, width), PAD_ID, np.int32)
    lengths = np.ones(BATCH_SIZE, np.int32)
    for row, i in enumerate(chosen):
      lengths[row] = len(ids[i])
      tokens[row, : lengths[row]] = ids[i]
    part = np.asarray(_pooled(run.model, run.params, tokens, lengths, pooling))
    if found is None:
      found = np.zeros((len(part), len(ids), part.shape[-1]), np.float32)
    found[:, chosen] = part[:, : len(chosen)]
  if found is None:
    raise ValueError('there are no prompts to take activations of')
  return found
