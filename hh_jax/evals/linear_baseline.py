"""What a preference model must beat: a linear model of the last reply.

Word and word-pair frequencies (TF-IDF) of the reply and the logarithm of its
length; logistic regression on the difference between the two replies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from hh_jax.data.comparisons import Comparison

LENGTH_SCALE = 1.0  # weight of log length beside unit-norm word vectors


def fit_and_score(
  train: Sequence[Comparison], test: Sequence[Comparison]
) -> np.ndarray:
  """Returns scores of (chosen, rejected) of the test part, [N, 2] float64."""
  from sklearn.feature_extraction.text import TfidfVectorizer
  from sklearn.linear_model import LogisticRegression

  words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
  words.fit([text for item in train for text in (item.chosen, item.rejected)])

  def features(texts: Sequence[str]) -> scipy.sparse.csr_matrix:
    lengths = np.log1p([[len(text)] for text in texts]) * LENGTH_SCALE
    return scipy.sparse.hstack([words.transform(texts), lengths]).tocsr()

  chosen = features([item.chosen for item in train])
  rejected = features([item.rejected for item in train])
  gaps = chosen - rejected
  # Both orders of each pair, so that the model has no intercept to learn.
  model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000)
  model.fit(
    scipy.sparse.vstack([gaps, -gaps]),
    np.concatenate([np.ones(len(train)), np.zeros(len(train))]),
  )
  weights = model.coef_[0]
  return np.stack(
    [
      features([item.chosen for item in test]) @ weights,
      features([item.rejected for item in test]) @ weights,
    ],
    axis=1,
  )
