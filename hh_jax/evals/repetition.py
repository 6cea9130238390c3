"""How much a reply says again what it has said.

Reference: Welleck et al. 2020, "Neural text generation with unlikelihood
training" (seq-rep-n).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NGRAM = 4  # tokens in a row


def rate(reply: Sequence[int] | np.ndarray, n: int = NGRAM) -> float:
  """Share of a reply's n-grams of tokens that occurred before in it.

  A reply of fewer than n tokens repeats nothing.
  """
  ids = tuple(np.asarray(reply).tolist())
  ngrams = [ids[i : i + n] for i in range(len(ids) - n + 1)]
  return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
