"""Agreement against hand counts, evalica and published examples."""

import numpy as np
import pytest

from hh_jax.stats import agreement

_NAN = np.nan
# Krippendorff 2011, 'Computing Krippendorff's Alpha-Reliability', part C:
# four observers, twelve units; α is 0.743 nominal and 0.815 ordinal.
_PUBLISHED = np.array(
  [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _NAN, _NAN, _NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _NAN, 3],
    [_NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _NAN],
  ]
)


def test_alpha_of_the_published_example():
  nominal = agreement.krippendorff_alpha(_PUBLISHED)
  ordinal = agreement.krippendorff_alpha(_PUBLISHED, agreement.ordinal_distance)
  assert nominal == pytest.approx(0.743, abs=5e-4)
  assert ordinal == pytest.approx(0.815, abs=5e-4)


def test_alpha_agrees_with_evalica():
  evalica = pytest.importorskip('evalica')
  pandas = pytest.importorskip('pandas')
  rng = np.random.default_rng(1)
  ratings = rng.integers(1, 6, (3, 40)).astype(float)
  ratings[rng.random((3, 40)) < 0.2] = _NAN
  for name, distance in (
    ('nominal', agreement.nominal_distance),
    ('ordinal', agreement.ordinal_distance),
  ):
    theirs = evalica.alpha(pandas.DataFrame(ratings), name).alpha
    ours = agreement.krippendorff_alpha(ratings, distance)
    assert ours == pytest.approx(theirs, abs=1e-9), name


def test_alpha_at_its_ends():
  same = np.tile([1.0, 2.0, 1.0, 3.0], (2, 1))
  assert agreement.krippendorff_alpha(same) == 1
  assert agreement.krippendorff_alpha(np.ones((2, 5))) == 1
  assert agreement.krippendorff_alpha(np.array([[1.0, 2], [2, 1]])) < 0
  with pytest.raises(ValueError, match='rated twice'):
    agreement.krippendorff_alpha(np.array([[1.0, _NAN], [_NAN, 2.0]]))


def test_accuracy_by_turn_counts_every_slice():
  sides = np.array(['helpful'] * 4 + ['harmless'] * 2)
  turns = np.array([1, 1, 2, 5, 1, 1])
  correct = np.array([1, 0, 1, 0, 0.5, 1])
  rows = agreement.accuracy_by_turn(sides, turns, correct)
  assert [(r['side'], r['turn'], r['count']) for r in rows] == [
    ('harmless', 1, 2),
    ('helpful', 1, 2),
    ('helpful', 2, 1),
    ('helpful', 5, 1),
  ]
  assert [r['accuracy'][1] for r in rows] == [0.75, 0.5, 1.0, 0.0]
