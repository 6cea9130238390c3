"""What the studies compute from scores; models are made up."""

import dataclasses
import pathlib

import numpy as np
import pytest

from hh_jax.config import ScalingConfig
from hh_jax.data import gender
from hh_jax.stages import held_out, prompt_effect
from hh_jax.stages.held_out import Scored
from hh_jax.stages.studies import (
  bias,
  calibration,
  distillation,
  mixtures,
  scaling,
)
from hh_jax.stats import seeds
from tests.data import samples
from tests.stages import toys


def scored(num_helpful, num_harmless, helpful=0.75, harmless=0.6, seed=0):
  """Scores that are right with these chances."""
  rng = np.random.default_rng(seed)
  items = toys.comparisons(num_helpful, num_harmless)
  right = np.concatenate(
    [rng.random(num_helpful) < helpful, rng.random(num_harmless) < harmless]
  )
  gap = np.abs(rng.normal(size=len(items))) * np.where(right, 1, -1)
  scores = np.stack([gap, np.zeros_like(gap)], axis=1).astype(np.float32)
  return Scored(tuple(items), scores)


def test_accuracy_is_the_mean_over_seeds_by_side():
  made = [scored(1000, 1000, seed=seed) for seed in range(3)]
  found = held_out.accuracies(made)
  for side in ('helpful', 'harmless'):
    own = [one.correct[one.sides == side].mean() for one in made]
    low, mid, high = found[side]
    assert mid == pytest.approx(np.mean(own))
    assert low < mid < high
  assert found['harmless'][2] < found['helpful'][0]


def test_the_same_items_are_drawn_once_for_all_seeds():
  made = [scored(400, 0)] * 4
  alone = held_out.accuracy(made[:1]).interval()
  together = held_out.accuracy(made).interval()
  np.testing.assert_allclose(together, alone, atol=0.05 * np.ptp(alone))


def test_a_side_that_a_seed_lacks_is_left_out():
  made = [scored(50, 0), scored(50, 50)]
  assert held_out.sides_of(made) == ['helpful', held_out.ALL]


def test_normalised_accuracies_reach_one_for_each_size_and_side():
  rows = [
    {
      'size': size,
      'side': side,
      'fraction': f,
      'accuracy': [a - 0.1, a, a + 0.1],
    }
    for size in ('nano0', 'nano1')
    for side, values in (('helpful', (0.7, 0.6)), ('harmless', (0.4, 0.8)))
    for f, a in zip((0.0, 1.0), values)
  ]
  found = mixtures.normalised(rows)
  for size in ('nano0', 'nano1'):
    for side in ('helpful', 'harmless'):
      mids = [
        row['normalised'][1]
        for row in found
        if row['size'] == size and row['side'] == side
      ]
      assert max(mids) == 1.0
      assert len(mids) == 2
  assert found[1]['normalised'][1] == pytest.approx(0.6 / 0.7)


def test_the_spread_is_over_real_mixtures():
  shift = np.linspace(-0.01, 0.01, 101)
  measured = [
    (
      {'size': 'nano0', 'fraction': fraction},
      {'mean': seeds.over_seeds([mid], (mid + slope * shift)[None])},
    )
    for fraction, mid, slope in (
      (0.0, 0.4, 0),
      (0.2, 0.66, -1),
      (0.6, 0.7, 1),
      (1.0, 0.5, 0),
    )
  ]
  found = mixtures.spread(measured, 'nano0')
  assert found['best_fraction'] == 0.6
  # On a resample the best gains what the other loses.
  np.testing.assert_allclose(found['range'], [0.021, 0.04, 0.059], atol=1e-9)
  assert mixtures.spread(measured, 'nano1')['range'] is None


def test_the_mean_of_sides_has_its_own_interval():
  made = [scored(2000, 100)]
  found = mixtures.accuracies(made)
  mids = [found[side].mid for side in ('helpful', 'harmless')]
  assert found['mean'].mid == pytest.approx(np.mean(mids))
  low, _, high = found['mean'].interval()
  assert (
    high - low > found['helpful'].interval()[2] - found['helpful'].interval()[0]
  )


def test_a_first_turn_is_one_cluster_whatever_the_seed():
  made = [scored(20, 0), scored(20, 0)]
  gaps, correct, clusters = calibration.together(made)
  assert len(gaps) == len(correct) == 40
  assert len(set(clusters)) == 20


def write_gains(folder, student, sides=('helpful', 'harmless')):
  """A run's folder whose prompt gains 1 on one side, and on the other none."""
  folder.mkdir()
  side = np.repeat(sides, 200)
  noise = np.tile([-0.5, 0.5], 100 * len(sides))
  prompted = np.where(side == 'helpful', 1.0, 0.0) + noise
  prompt_effect.Gains(
    sides=side,
    conversations=np.arange(len(side)),
    prompted=prompted,
    student=student * prompted,
  ).write(folder)
  return folder


def test_a_student_keeps_a_share_of_an_effect_that_is_there(tmp_path):
  folders = [
    write_gains(tmp_path / str(seed), kept)
    for seed, kept in enumerate((0.68, 0.7, 0.72))
  ]
  helpful, harmless = distillation.effects_of(folders)
  low, mid, high = helpful['share']
  assert mid == pytest.approx(0.7)
  assert 0.55 < low < mid < high < 0.85
  assert helpful['prompted'][1] == pytest.approx(1.0)
  assert harmless['share'] is None
  (tmp_path / 'no judge').mkdir()
  assert distillation.effects_of([tmp_path / 'no judge']) == []


def test_a_gap_of_gender_has_an_interval_over_occupations():
  jobs, tenses = len(gender.OCCUPATIONS), len(gender.TENSES)
  by_job = np.random.default_rng(0).normal(0.3, 1, (1, jobs, 1))
  values = np.broadcast_to(by_job, (tenses, jobs, 12)).reshape(-1)
  low, mid, high = bias.summary(values)['mean']
  assert mid == pytest.approx(by_job.mean())
  # As wide as that of 76 independent numbers, not of 1,824.
  assert (high - low) / 4 == pytest.approx(by_job.std() / jobs**0.5, rel=0.15)


@dataclasses.dataclass
class FakeModel:
  """A model of the scaling study whose scores are given."""

  size: str
  parts: list

  def scored(self):
    return self.parts

  def row(self):
    return {'size': self.size, 'params': 10, 'comparisons': 5}


def stand_in(monkeypatch, *models):
  monkeypatch.setattr(scaling, 'models', lambda *args, **kwargs: list(models))


def test_accuracy_by_turn_is_of_that_turn(monkeypatch):
  items = [
    samples.comparison(f'Question {i} about tea?', *(['Hm.', 'So?'] * (i % 2)))
    for i in range(100)
  ]
  gap = np.array([1.0 if i % 2 == 0 else -1.0 for i in range(100)])
  scores = np.stack([gap, 0 * gap], axis=1).astype(np.float32)
  stand_in(monkeypatch, FakeModel('nano0', [Scored(tuple(items), scores)]))
  rows = scaling.fig08(ScalingConfig(), pathlib.Path())['by_turn']
  assert [(r['turn'], r['count'], r['accuracy'][1]) for r in rows] == [
    (1, 50, 1.0),
    (2, 50, 0.0),
  ]


def test_a_threshold_keeps_pairs_whose_lower_score_is_above(monkeypatch):
  made = scored(400, 0)
  level = np.linspace(-2, 2, 400).astype(np.float32)[:, None]
  # Good replies cannot be told apart.
  gap = made.scores * (level < 0)
  made = Scored(made.comparisons, gap + level)
  stand_in(monkeypatch, FakeModel('nano0', [made]))
  rows = scaling.fig25(ScalingConfig(), pathlib.Path())['by_threshold']
  counts = [row['count'] for row in rows]
  assert counts == sorted(counts, reverse=True)
  assert counts[0] == 400 and counts[-1] == pytest.approx(40, abs=2)
  assert rows[0]['accuracy'][1] > 0.55
  assert rows[-1]['accuracy'][1] == 0.5


def test_centring_takes_the_mean_of_all_scores_away():
  made = scored(30, 10)
  moved = Scored(made.comparisons, made.scores + 7)
  np.testing.assert_allclose(
    scaling.centred(moved).scores, scaling.centred(made).scores, atol=1e-5
  )
