"""The formulas of the paper in plain Python, to hold the library against.

1. Every function here is one equation, written with loops over scalars in
   float64 and without any trick for speed or stability that the equation
   does not contain, except those that keep float64 from overflowing.
2. Nothing here imports the library. Where a formula has a closed form the
   tests use that as well.
3. Arguments are nested sequences or arrays; masks are booleans, True is real.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]


def softplus(x: float) -> float:
  """log(1 + e^x), the paper's pair loss at x = r_bad - r_good."""
  return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
  """1 / (1 + e^-x), the probability that the better reply wins [§4.1]."""
  return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def log_sum_exp(xs: Vector) -> float:
  """log Σ e^x."""
  top = max(xs)
  if top == -math.inf:
    return -math.inf
  return top + math.log(math.fsum(math.exp(x - top) for x in xs))


def pairwise_loss(
  chosen: Vector, rejected: Vector, weight: Vector, mask: Sequence[bool]
) -> dict[str, float]:
  """Σ w softplus(r_bad - r_good) over real pairs, and the metric sums."""
  out = {'total': 0.0, 'weight': 0.0, 'accuracy': 0.0, 'margin': 0.0}
  for good, bad, w, is_real in zip(chosen, rejected, weight, mask, strict=True):
    if not is_real:
      continue
    out['total'] += float(w) * softplus(float(bad) - float(good))
    out['weight'] += 1.0
    out['accuracy'] += 1.0 if good > bad else 0.5 if good == bad else 0.0
    out['margin'] += float(good) - float(bad)
  return out


def bucketed_kl(
  teacher: Matrix, student: Matrix, mask: Sequence[bool]
) -> float:
  """Σ_n KL over the k stored categories and one bucket for the rest [§A.1].

  Args:
    teacher: [N, k] log-probabilities of the stored tokens.
    student: [N, k] log-probabilities of the same tokens under the student.
    mask: [N], positions that count.
  """
  total = 0.0
  for log_p, log_q, is_real in zip(teacher, student, mask, strict=True):
    if not is_real:
      continue
    for x, y in zip(log_p, log_q, strict=True):
      if float(x) > -math.inf:
        total += math.exp(float(x)) * (float(x) - float(y))
    p_rest = 1.0 - math.fsum(math.exp(float(x)) for x in log_p)
    q_rest = 1.0 - math.fsum(math.exp(float(y)) for y in log_q)
    if p_rest > 0:
      total += p_rest * (math.log(p_rest) - math.log(q_rest))
  return total


def next_token_loss(log_probs: Vector, mask: Sequence[bool]) -> float:
  """-Σ log p over real targets."""
  return -math.fsum(
    float(x) for x, is_real in zip(log_probs, mask, strict=True) if is_real
  )


def row_length(mask_row: Sequence[bool]) -> int:
  """Number of real tokens of a row; they come first."""
  return sum(bool(m) for m in mask_row)


def token_rewards(
  scores: Vector,
  log_probs: Matrix,
  ref_log_probs: Matrix,
  mask: Matrix,
  kl_coef: float,
) -> np.ndarray:
  """r_t = -λ_KL (log π - log π0), plus the score at the last token [eq 4.1]."""
  rewards = np.zeros(np.shape(log_probs))
  for e, row in enumerate(mask):
    length = row_length(row)
    for t in range(length):
      gap = float(log_probs[e][t]) - float(ref_log_probs[e][t])
      rewards[e, t] = -kl_coef * gap
    if length:
      rewards[e, length - 1] += float(scores[e])
  return rewards


def advantages_and_returns(
  rewards: Matrix,
  values: Matrix,
  mask: Matrix,
  discount: float,
  gae_lambda: float,
) -> tuple[np.ndarray, np.ndarray]:
  """A_t = Σ_l (γλ)^l δ_{t+l}, δ_t = r_t + γ V_{t+1} - V_t, V after the end 0.

  Written as the double sum of the definition, not as the recursion.
  """
  advantages = np.zeros(np.shape(rewards))
  returns = np.zeros(np.shape(rewards))
  for e, row in enumerate(mask):
    length = row_length(row)
    deltas = []
    for t in range(length):
      after = float(values[e][t + 1]) if t + 1 < length else 0.0
      deltas.append(
        float(rewards[e][t]) + discount * after - float(values[e][t])
      )
    for t in range(length):
      advantages[e, t] = math.fsum(
        (discount * gae_lambda) ** (s - t) * deltas[s] for s in range(t, length)
      )
      returns[e, t] = advantages[e, t] + float(values[e][t])
  return advantages, returns


def whiten(xs: Matrix, mask: Matrix, eps: float) -> np.ndarray:
  """(x - mean) / √(variance + eps) over the real entries of the rollout."""
  real = [
    float(x)
    for row, mask_row in zip(xs, mask, strict=True)
    for x, is_real in zip(row, mask_row, strict=True)
    if is_real
  ]
  out = np.zeros(np.shape(xs))
  if not real:
    return out
  mean = math.fsum(real) / len(real)
  variance = math.fsum((x - mean) ** 2 for x in real) / len(real)
  for e, row in enumerate(xs):
    for t, x in enumerate(row):
      if mask[e][t]:
        out[e, t] = (float(x) - mean) / math.sqrt(variance + eps)
  return out


def clipped_policy_loss(
  log_probs: Matrix,
  old_log_probs: Matrix,
  advantages: Matrix,
  mask: Matrix,
  clip_range: float,
) -> dict[str, float]:
  """-Σ min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), ρ = e^(log π - log π_old).

  `clipped` counts tokens whose objective the clip changed, `outside` those
  whose ratio lies outside the range; `log_ratio` sums |log ρ|, `approx_kl`
  ρ - 1 - log ρ.
  """
  names = 'total weight clipped outside ratio log_ratio approx_kl'.split()
  out = dict.fromkeys(names, 0.0)
  for e, row in enumerate(mask):
    for t, is_real in enumerate(row):
      if not is_real:
        continue
      gap = float(log_probs[e][t]) - float(old_log_probs[e][t])
      ratio = math.exp(gap)
      held = min(max(ratio, 1 - clip_range), 1 + clip_range)
      advantage = float(advantages[e][t])
      out['total'] -= min(ratio * advantage, held * advantage)
      out['weight'] += 1
      out['clipped'] += float(held * advantage < ratio * advantage)
      out['outside'] += float(held != ratio)
      out['ratio'] += ratio
      out['log_ratio'] += abs(gap)
      out['approx_kl'] += math.expm1(gap) - gap
  return out


def clipped_value_loss(
  values: Matrix,
  old_values: Matrix,
  returns: Matrix,
  mask: Matrix,
  clip_range: float,
) -> float:
  """½ Σ max((V - R)², (clip(V, V_old ± ε) - R)²); ε = 0 does not clip."""
  total = 0.0
  for e, row in enumerate(mask):
    for t, is_real in enumerate(row):
      if not is_real:
        continue
      value, old = float(values[e][t]), float(old_values[e][t])
      target = float(returns[e][t])
      error = (value - target) ** 2
      if clip_range:
        held = min(max(value, old - clip_range), old + clip_range)
        error = max(error, (held - target) ** 2)
      total += 0.5 * error
  return total


def kl_estimates(
  log_probs: Matrix, ref_log_probs: Matrix, mask: Matrix
) -> dict[str, np.ndarray]:
  """Per sequence: k1 = Σ log π/π0, k3 = Σ (π0/π - 1 - log π0/π)."""
  k1, k3 = np.zeros(len(mask)), np.zeros(len(mask))
  for e, row in enumerate(mask):
    for t, is_real in enumerate(row):
      if is_real:
        gap = float(log_probs[e][t]) - float(ref_log_probs[e][t])
        k1[e] += gap
        k3[e] += math.expm1(-gap) + gap
  return {'k1': k1, 'k3': k3}


def logits_of(hidden: Vector, unembed: Matrix, num_valid: int) -> list[float]:
  """h·u_v for the real rows of the vocabulary."""
  return [
    math.fsum(float(h) * float(u) for h, u in zip(hidden, row, strict=True))
    for row in list(unembed)[:num_valid]
  ]


def log_softmax(logits: Vector, temperature: float = 1.0) -> list[float]:
  """log of e^(x/T) / Σ e^(x/T)."""
  scaled = [float(x) / temperature for x in logits]
  norm = log_sum_exp(scaled)
  return [x - norm for x in scaled]


def entropy(log_probs: Vector) -> float:
  """-Σ p log p in nats."""
  return -math.fsum(math.exp(x) * x for x in log_probs if x > -745)


def kl(log_p: Vector, log_q: Vector) -> float:
  """Σ p (log p - log q) in nats, exact over the whole vocabulary."""
  return math.fsum(
    math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True) if p > -745
  )


def top_p_kept(log_probs: Vector, top_p: float) -> set[int]:
  """The fewest most probable tokens whose mass reaches `top_p`."""
  order = sorted(range(len(log_probs)), key=lambda v: -log_probs[v])
  kept, mass = set(), 0.0
  for v in order:
    kept.add(v)
    mass += math.exp(log_probs[v])
    if mass >= top_p:
      break
  return kept


def inverse_cdf(log_probs: Vector, uniform: float) -> int:
  """The first token whose cumulative probability exceeds the uniform."""
  mass = 0.0
  last = 0
  for v, log_prob in enumerate(log_probs):
    if log_prob > -math.inf:
      last = v
    mass += math.exp(log_prob)
    if mass > uniform:
      return v
  return last


def finite_differences(
  function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5
) -> np.ndarray:
  """Central differences of a scalar function in float64."""
  at = np.asarray(at, np.float64)
  grad = np.zeros(at.shape)
  for index in np.ndindex(*at.shape):
    up, down = at.copy(), at.copy()
    up[index] += step
    down[index] -= step
    grad[index] = (function(up) - function(down)) / (2 * step)
  return grad
