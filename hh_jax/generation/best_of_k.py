"""Several replies to each prompt, and the choice among them by score.

Reference: Bai et al. 2022, sections 2.3 and B.6 (rejection sampling), section 6
and appendix C (the median of 17 samples that the paper displays).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NUM_DISPLAY_SAMPLES = 17  # a reply is shown as the median of 17 [§6, App. C]


def reply_ids(example_ids: np.ndarray, k: int) -> np.ndarray:
  """Global ids of k replies to each example, [N, k], for `decode.generate`."""
  if k < 1:
    raise ValueError(f'k={k} must be positive')
  return np.asarray(example_ids)[:, None] * k + np.arange(k)


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


def medians(
  replies: Sequence[Sequence[str]], scores: np.ndarray
) -> list[tuple[str, float]]:
  """The median non-empty reply of each prompt, and its score.

  Args:
    replies: k texts of each of E prompts.
    scores: [E, k] preference-model scores.
  """
  is_empty = np.array([[not text.strip() for text in own] for own in replies])
  return [
    (own[index], float(row[index]))
    for own, row, index in zip(
      replies, scores, median_of(scores, is_empty), strict=True
    )
  ]
