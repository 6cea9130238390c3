"""What can be wrong with comparisons before any model is blamed.

1. Leakage: first human turns of the test part that the training part has, and
   test comparisons nearly all of whose words in a row occur in one training
   comparison.
2. Repeats: a pair of replies to one prompt that comes again, with the same
   label or with the other one.
3. Length: how far choosing the longer reply gets.
4. Label noise: a preference model is wrong on its most certain pairs about as
   often as labels are; flipped labels make it wrong more often than it claims.
5. Truncation: how many comparisons lost their left end, and whether a model is
   worse there.

The paper reports none of these. Each tells of a fault that was planted.
"""

from __future__ import annotations

import collections
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from hh_jax.data.comparisons import Comparison
from hh_jax.evals import preference_accuracy
from hh_jax.stats import bootstrap

SHINGLE = 3  # words in a row
NEAR = 0.8  # share of a comparison's shingles that make it a near-duplicate
CERTAIN = 0.1  # share of the pairs with the largest score gaps
_ROWS = 256  # test comparisons looked up together
_HASHES = 1 << 22


def leakage(
  train: Sequence[Comparison], test: Sequence[Comparison]
) -> dict[str, float]:
  """Shares of test comparisons that training has seen.

  Returns:
    `same_first_turn`, which a split by first turn keeps at 0, and
    `near_duplicate`.
  """
  seen = {item.prompt.first_human for item in train}
  is_seen = [item.prompt.first_human in seen for item in test]
  return {
    'same_first_turn': float(np.mean(is_seen)),
    'near_duplicate': float(np.mean(near_duplicates(train, test))),
  }


def near_duplicates(
  train: Sequence[Comparison], test: Sequence[Comparison]
) -> np.ndarray:
  """[N] bool, test comparisons that nearly occur in training.

  Of the words in a row of a test comparison (last human turn and both replies)
  at least `NEAR` occur in one and the same training comparison.
  """
  known = _shingles(train).T.tocsr()
  found = np.zeros(len(test), bool)
  for start in range(0, len(test), _ROWS):
    own = _shingles(test[start : start + _ROWS])
    shared = (own @ known).max(axis=1).toarray().reshape(-1)
    count = np.maximum(np.diff(own.indptr), 1)
    found[start : start + _ROWS] = shared / count >= NEAR
  return found


def _shingles(items: Sequence[Comparison]) -> scipy.sparse.csr_matrix:
  """Which words in a row each comparison has, [N, 2**22] of 0 and 1."""
  columns: list[np.ndarray] = []
  for item in items:
    words = _text(item).split()
    rows = range(max(1, len(words) - SHINGLE + 1))
    spelled = (' '.join(words[i : i + SHINGLE]) for i in rows)
    hashes = [zlib.crc32(text.encode()) % _HASHES for text in spelled]
    columns.append(np.unique(hashes))
  ends = np.cumsum([0, *map(len, columns)])
  flat = np.concatenate([np.zeros(0, np.int64), *columns])
  ones = np.ones(len(flat), np.float32)
  return scipy.sparse.csr_matrix((ones, flat, ends), (len(items), _HASHES))


def _text(item: Comparison) -> str:
  replies = sorted((item.chosen, item.rejected))
  return ' '.join([item.prompt.turns[-1].text, *replies])


def repeats(comparisons: Sequence[Comparison]) -> dict[str, float]:
  """Pairs that come again, and how many of those with the other label.

  Returns:
    `repeated`, a share of the comparisons, and `contradicted`, a share of the
    repeated ones; half of these are wrong whatever the truth is.
  """
  labels = collections.defaultdict(list)
  for item in comparisons:
    first, second = sorted((item.chosen, item.rejected))
    labels[item.prompt, first, second].append(item.chosen == first)
  again = [own for own in labels.values() if len(own) > 1]
  num_again = sum(map(len, again))
  num_mixed = sum(len(own) for own in again if len(set(own)) > 1)
  return {
    'repeated': num_again / max(len(comparisons), 1),
    'contradicted': num_mixed / max(num_again, 1),
  }


def label_noise(
  comparisons: Sequence[Comparison], scores: np.ndarray
) -> dict[str, list[float]]:
  """How often a model is wrong where it is most certain, and what it claims.

  Args:
    comparisons: Held out.
    scores: [N, 2] of chosen and rejected.

  Returns:
    `[low, mid, high]` of `wrong`, about the share of wrong labels for a good
    model, and of `excess`, that less the share the model claims.
  """
  gaps = np.abs(scores[:, 0] - scores[:, 1]).astype(np.float64)
  certain = gaps >= np.quantile(gaps, 1 - CERTAIN)
  wrong = 1 - preference_accuracy.is_correct(scores)[certain]
  claimed = scipy.special.expit(-gaps[certain])
  clusters = preference_accuracy.clusters_of(comparisons)[certain]
  return {
    'wrong': bootstrap.mean_interval(wrong, clusters).tolist(),
    'excess': bootstrap.mean_interval(wrong - claimed, clusters).tolist(),
  }


def truncation(
  comparisons: Sequence[Comparison], scores: np.ndarray, is_cut: np.ndarray
) -> dict[str, Any]:
  """What cutting long dialogues costs.

  Args:
    comparisons: Held out.
    scores: [N, 2] of chosen and rejected.
    is_cut: [N] bool, the dialogue lost its left end.

  Returns:
    `cut`, a share, and `[low, mid, high]` of the accuracy on `cut_accuracy`
    and `whole_accuracy`, where there are such.
  """
  correct = preference_accuracy.is_correct(scores)
  clusters = preference_accuracy.clusters_of(comparisons)
  found: dict[str, Any] = {'cut': float(np.mean(is_cut))}
  for name, mask in (('cut_accuracy', is_cut), ('whole_accuracy', ~is_cut)):
    if mask.any():
      interval = bootstrap.mean_interval(correct[mask], clusters[mask])
      found[name] = interval.tolist()
  return found


def check(
  train: Sequence[Comparison],
  test: Sequence[Comparison],
  scores: np.ndarray,
  is_cut: np.ndarray,
) -> dict[str, Any]:
  """Everything above, by name.

  Args:
    train: What the model was trained on.
    test: Held out.
    scores: [N, 2] of the test part, chosen and rejected.
    is_cut: [N] bool, the test dialogue lost its left end.
  """
  noise = label_noise(test, scores)
  return {
    **leakage(train, test),
    **repeats(train),
    'longer_reply': preference_accuracy.longer_reply(test)['all'],
    'wrong_where_certain': noise['wrong'],
    'wrong_beyond_claim': noise['excess'],
    **truncation(test, scores, is_cut),
  }
