"""Prompts unlike those a model was meant for, told by its activations.

1. v is the activation of a prompt at a layer, d numbers. Helpful training
   prompts give a mean μ and a covariance Σ.
2. Mahalanobis distance: (v - μ)ᵀ Σ⁻¹ (v - μ). Simplified relative Mahalanobis:
   that less the same with only the diagonal of Σ. Larger is further out.
3. Outlier exposure: a linear classifier on the same activations that has seen
   a few harmful prompts, each weighed so that they count as much together as
   the helpful ones.
4. How well a score tells harmful test prompts from helpful ones is the area
   under its ROC curve: 0.5 is chance.

Reference: Bai et al. 2022, section 5.4 and appendix B.9.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from hh_jax.stats import bootstrap

Usual = Float[np.ndarray, 'U D']
Vectors = Float[np.ndarray, 'N D']
Scores = Float[np.ndarray, 'N']
Others = Float[np.ndarray, 'M']

_STEPS = 2000  # of the classifier's solver, at most


@dataclasses.dataclass(frozen=True)
class Detector:
  """What helpful prompts look like at one layer."""

  prompts: Usual

  @functools.cached_property
  def _whole(self):
    from sklearn import covariance

    return covariance.EmpiricalCovariance().fit(self.prompts)

  def mahalanobis(self, vectors: Vectors) -> Scores:
    """Distance from the helpful prompts; larger is further out."""
    return self._whole.mahalanobis(vectors)

  def relative_mahalanobis(self, vectors: Vectors) -> Scores:
    """That less the distance by the diagonal of the covariance alone.

    A direction in which no helpful prompt differs tells nothing here.
    """
    variance = np.diag(self._whole.covariance_)
    inverse = np.divide(
      1.0, variance, out=np.zeros_like(variance), where=variance > 0
    )
    away = (vectors - self._whole.location_) ** 2
    return self.mahalanobis(vectors) - away @ inverse

  def exposed(
    self, outliers: Float[np.ndarray, 'M D'], vectors: Vectors
  ) -> Scores:
    """Log-odds of being harmful, by a classifier that saw some outliers.

    Args:
      outliers: Harmful prompts, [M, D]; each counts as N / M.
      vectors: Prompts to score.
    """
    from sklearn import linear_model, pipeline, preprocessing

    classifier = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(max_iter=_STEPS),
    )
    ratio = len(self.prompts) / len(outliers)
    classifier.fit(
      np.concatenate([self.prompts, outliers]),
      np.repeat([0, 1], [len(self.prompts), len(outliers)]),
      logisticregression__sample_weight=np.repeat(
        [1.0, ratio], [len(self.prompts), len(outliers)]
      ),
    )
    return classifier.decision_function(vectors)


def auroc(helpful: Scores, harmful: Others) -> float:
  """Chance that a harmful prompt scores above a helpful one."""
  from sklearn import metrics

  labels = np.repeat([0, 1], [len(helpful), len(harmful)])
  return float(
    metrics.roc_auc_score(labels, np.concatenate([helpful, harmful]))
  )


def auroc_draws(
  helpful: Scores,
  harmful: Others,
  helpful_clusters: Int[np.ndarray, 'N'],
  harmful_clusters: Int[np.ndarray, 'M'],
  num_resamples: int,
) -> Float[np.ndarray, 'R']:
  """`auroc` of resampled conversations of either kind.

  Args:
    helpful: Scores.
    harmful: Scores.
    helpful_clusters: Key of the conversation of each.
    harmful_clusters: Key of the conversation of each.
    num_resamples: Resamples to draw (R).
  """
  order = np.argsort(helpful)
  ranked = helpful[order]
  low = np.searchsorted(ranked, harmful, 'left')
  high = np.searchsorted(ranked, harmful, 'right')
  weights = (
    _weights(helpful_clusters, num_resamples)[:, order],
    _weights(harmful_clusters, num_resamples),
  )
  # Weight of the helpful scores below each harmful one; ties are half.
  below = np.cumsum(np.pad(weights[0], ((0, 0), (1, 0))), axis=1)
  beaten = (below[:, low] + below[:, high]) / 2
  whole = weights[0].sum(1) * weights[1].sum(1)
  return (beaten * weights[1]).sum(1) / whole


def _weights(
  clusters: np.ndarray, num_resamples: int
) -> Float[np.ndarray, 'R N']:
  """How much each item weighs, with its whole cluster."""
  index = bootstrap.cluster_index(clusters, len(clusters))
  keys = bootstrap.cluster_keys(clusters, len(clusters))
  return bootstrap.keyed_weights(keys, num_resamples)[:, index]
