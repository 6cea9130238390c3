"""Oracles that walk trees and tables: attention, rotary, Elo, calibration.

Written like `oracles.py`: scalars, loops and float64, nothing of the library.
A tree is given as segments, each with the segment it continues and a length;
the context of a token is found by walking those parents, never by intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.parity import oracles


def rotary(
  x: np.ndarray,
  positions: np.ndarray,
  *,
  fraction: float,
  theta: float,
  scaling: float,
  layout: str,
) -> np.ndarray:
  """Rotates pairs of the first `fraction` of each head by position angles.

  Pair i of R rotated dimensions turns by (position / scaling) θ^(-2i/R). The
  pairs are (i, i + R/2) in the half layout, (2i, 2i + 1) when interleaved.

  Args:
    x: [B, T, K, H].
    positions: [B, T].
  """
  x = np.asarray(x, np.float64)
  out = x.copy()
  width = int(x.shape[-1] * fraction)
  for b, t, k in np.ndindex(*x.shape[:3]):
    for i in range(width // 2):
      angle = float(positions[b, t]) / scaling * theta ** (-2 * i / width)
      pair = (i, i + width // 2) if layout == 'half' else (2 * i, 2 * i + 1)
      first, second = x[b, t, k, pair[0]], x[b, t, k, pair[1]]
      cos, sin = math.cos(angle), math.sin(angle)
      out[b, t, k, pair[0]] = first * cos - second * sin
      out[b, t, k, pair[1]] = first * sin + second * cos
  return out


def attend(
  query: np.ndarray, keys: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> np.ndarray:
  """Σ softmax(q·k / √H) v for one query over an explicit list of keys."""
  scale = 1 / math.sqrt(len(query))
  scores = [
    scale
    * math.fsum(float(a) * float(b) for a, b in zip(query, key, strict=True))
    for key in keys
  ]
  weights = [math.exp(x) for x in oracles.log_softmax(scores)]
  return sum(
    w * np.asarray(v, np.float64) for w, v in zip(weights, values, strict=True)
  )


def token_paths(
  parents: Sequence[int], lengths: Sequence[int], first_column: int = 0
) -> list[list[int]]:
  """The columns a token sees: its ancestors' tokens, its segment up to it.

  Args:
    parents: For each segment the one it continues, -1 at a root; a segment
      follows its parent. Segments lie in the row one after another.
    lengths: Tokens of each segment.
    first_column: Column of the first segment.

  Returns:
    For each token, in row order, the visible columns, itself last.
  """
  columns, start = [], first_column
  for length in lengths:
    columns.append(list(range(start, start + length)))
    start += length
  paths = []
  for segment, own in enumerate(columns):
    ancestors: list[int] = []
    parent = parents[segment]
    while parent >= 0:
      ancestors = columns[parent] + ancestors
      parent = parents[parent]
    for count in range(1, len(own) + 1):
      paths.append(ancestors + own[:count])
  return paths


def tree_intervals(
  parents: Sequence[int], lengths: Sequence[int], first_number: int = 0
) -> tuple[list[int], list[int]]:
  """Pre-order number of each token's segment and the end of its subtree.

  Segments must already stand in depth-first order.
  """
  enter, leave = [], []
  for segment, length in enumerate(lengths):
    size = sum(
      _descends(parents, other, segment) for other in range(len(parents))
    )
    enter += [first_number + segment] * length
    leave += [first_number + segment + size] * length
  return enter, leave


def _descends(parents: Sequence[int], segment: int, ancestor: int) -> bool:
  while segment >= 0:
    if segment == ancestor:
      return True
    segment = parents[segment]
  return False


def elo_win_fraction(first: float, second: float) -> float:
  """Expected share of games the first wins: 1/(1 + 10^((E_B - E_A)/400))."""
  return 1 / (1 + 10 ** ((second - first) / 400))


def elo_log_likelihood(ratings: Sequence[float], wins: np.ndarray) -> float:
  """Σ_pairs -N_A log(1 + e^(r_B - r_A)) - N_B log(1 + e^(r_A - r_B)) [eq B.1].

  Args:
    ratings: Elo of each model; r = Elo · ln 10 / 400.
    wins: `wins[a][b]` games that a won against b.
  """
  r = [float(x) * math.log(10) / 400 for x in ratings]
  total = 0.0
  for a in range(len(r)):
    for b in range(a + 1, len(r)):
      total -= float(wins[a][b]) * oracles.softplus(r[b] - r[a])
      total -= float(wins[b][a]) * oracles.softplus(r[a] - r[b])
  return total


def calibration_bins(
  gaps: Sequence[float], is_correct: Sequence[bool], edges: Sequence[float]
) -> list[dict[str, float]]:
  """Accuracy and mean gap of the comparisons whose gap lies in [low, high)."""
  bins = []
  for low, high in zip(edges[:-1], edges[1:], strict=True):
    held = [i for i, gap in enumerate(gaps) if low <= gap < high]
    count = len(held)
    bins.append(
      {
        'count': count,
        'accuracy': sum(bool(is_correct[i]) for i in held) / max(count, 1),
        'gap': math.fsum(float(gaps[i]) for i in held) / max(count, 1),
      }
    )
  return bins
