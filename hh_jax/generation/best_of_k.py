"""Several replies to each prompt, and the choice among them by score.

Reference: Bai et al. 2022, sections 2.3 and B.6 (rejection sampling), section 6
and appendix C (the median of 17 samples that the paper displays).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from hh_jax.config import SamplingConfig
from hh_jax.generation import decode
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params


def sample_k(
  model: Transformer,
  params: Params,
  prompts: Sequence[np.ndarray],
  example_ids: np.ndarray,
  k: int,
  key: jax.Array,
  sampling: SamplingConfig,
  stop_sequences: Sequence[Sequence[int]] = (),
) -> decode.Generated:
  """Samples k replies to each prompt, which is prefilled once for all k.

  Args:
    model: The policy.
    params: Its parameters.
    prompts: Token ids of each prompt.
    example_ids: [N] global ids; reply j of an example has id `id * k + j`.
    k: Replies to each prompt.
    key: Of this round of sampling.
    sampling: See `decode.generate`; at least k slots are used.
    stop_sequences: Turn markers.

  Returns:
    N * k replies; row n * k + j is reply j to prompt n.
  """
  if k < 1:
    raise ValueError(f'k={k} must be positive')
  ids = np.asarray(example_ids)[:, None] * k + np.arange(k)
  return decode.generate(
    model, params, prompts, ids, key, sampling, stop_sequences
  )


def best_of(scores: np.ndarray) -> np.ndarray:
  """Index of the highest score of each row of [E, k]; the first of equals."""
  return np.argmax(scores, axis=-1)


def median_of(scores: np.ndarray, is_empty: np.ndarray) -> np.ndarray:
  """Index of the reply with the median score among those that are not empty.

  Of an even number the lower middle one is taken [open], and of a row of empty
  replies the median of all.

  Args:
    scores: [E, k] preference-model scores.
    is_empty: [E, k] bool, the reply has no text.
  """
  is_empty = is_empty & ~np.all(is_empty, axis=-1, keepdims=True)
  order = np.argsort(np.where(is_empty, np.inf, scores), axis=-1, kind='stable')
  middle = (np.sum(~is_empty, axis=-1, keepdims=True) - 1) // 2
  return np.take_along_axis(order, middle, axis=-1)[..., 0]
