"""What the studies compute from scores; models are made up."""

import pathlib

import numpy as np
import pytest

from hh_jax.config import ScalingConfig
from hh_jax.data import gender
from hh_jax.stages import held_out, prompt_effect
from hh_jax.stages.held_out import Scored
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import (
  bias,
  calibration,
  distillation,
  mixtures,
  scaling,
  slices,
)
from hh_jax.stats import seeds
from tests.data import samples
from tests.stages.studies import made_up


def test_accuracy_is_the_mean_over_seeds_by_side():
  made = [made_up.scored(1000, 1000, seed=seed) for seed in range(3)]
  found = held_out.accuracies(made)
  for side in ('helpful', 'harmless'):
    own = [one.correct[one.sides == side].mean() for one in made]
    low, mid, high = found[side]
    assert mid == pytest.approx(np.mean(own))
    assert low < mid < high
  assert found['harmless'][2] < found['helpful'][0]


def test_the_same_items_are_drawn_once_for_all_seeds():
  made = [made_up.scored(400, 0)] * 4
  alone = held_out.accuracy(made[:1]).interval()
  together = held_out.accuracy(made).interval()
  np.testing.assert_allclose(together, alone, atol=0.05 * np.ptp(alone))


def test_a_side_that_a_seed_lacks_is_left_out():
  made = [made_up.scored(50, 0), made_up.scored(50, 50)]
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


def mixed(size, **mids):
  """Models of mixtures with these mean accuracies, without noise."""
  return [
    (
      {'size': size, 'fraction': float(fraction.replace('f', '0.'))},
      {'mean': seeds.over_seeds([mid], np.full((1, 9), mid))},
    )
    for fraction, mid in mids.items()
  ]


def test_what_lopsided_mixtures_lose_is_over_real_mixtures():
  measured = mixed('nano0', f0=0.4, f1=0.66, f5=0.7, f9=0.6)
  assert mixtures.flatness(measured, 'nano0') == {
    'size': 'nano0',
    'even': 0.5,
    'lost': pytest.approx([0.07, 0.07, 0.07]),
  }
  assert mixtures.flatness(measured[:3], 'nano0')['lost'] is None
  assert mixtures.flatness(measured, 'nano1')['lost'] is None


def test_noise_alone_does_not_look_like_a_loss():
  rng = np.random.default_rng(0)
  lost = []
  for _ in range(50):
    noise = rng.normal(scale=0.01, size=(5, 1, 30))
    measured = [
      (
        {'size': 'nano0', 'fraction': fraction},
        {'mean': seeds.Estimate(0.7 + own)},
      )
      for fraction, own in zip((0.1, 0.3, 0.5, 0.7, 0.9), noise, strict=True)
    ]
    lost.append(mixtures.flatness(measured, 'nano0')['lost'][1])
  assert abs(np.mean(lost)) < 0.006  # the mean range is 0.023


def test_the_mean_of_sides_has_its_own_interval():
  made = [made_up.scored(2000, 100)]
  found = mixtures.accuracies(made)
  mids = [found[side].mid for side in ('helpful', 'harmless')]
  assert found['mean'].mid == pytest.approx(np.mean(mids))
  low, _, high = found['mean'].interval()
  assert (
    high - low > found['helpful'].interval()[2] - found['helpful'].interval()[0]
  )


def test_calibration_errors_of_seeds_do_not_cancel():
  """Pooled, an over- and an under-confident seed look calibrated."""
  over, under = made_up.opinions(0, 0.3), made_up.opinions(1, 3.0)
  apart = [
    calibration.error_and_slope([one], 10)[0].mid for one in (over, under)
  ]
  ece, slope = calibration.error_and_slope([over, under], 10)
  assert ece.mid == pytest.approx(np.mean(apart), rel=0.1)
  assert min(apart) > 0.08
  low, mid, high = slope.interval()
  assert low < 1 < high and mid == pytest.approx(1.65, abs=0.4)
  rows = calibration.curve([over, under], 10)
  assert sum(row['count'] for row in rows) == 1200
  assert all(row['seeds'] == 2 for row in rows)
  # The curve, a mean over seeds, has the spread between them in its interval.
  assert np.ptp(rows[-1]['accuracy']) > 0.2


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


def test_accuracy_by_turn_is_of_that_turn(monkeypatch):
  items = [
    samples.comparison(f'Question {i} about tea?', *(['Hm.', 'So?'] * (i % 2)))
    for i in range(100)
  ]
  gap = np.array([1.0 if i % 2 == 0 else -1.0 for i in range(100)])
  scores = np.stack([gap, 0 * gap], axis=1).astype(np.float32)
  made_up.stand_in(
    monkeypatch, made_up.FakeModel('nano0', [Scored(tuple(items), scores)])
  )
  values = slices.fig08(ScalingConfig(), pathlib.Path())
  rows = values['by_turn']
  assert [(r['turn'], r['count'], r['accuracy'][1]) for r in rows] == [
    (1, 50, 1.0),
    (2, 50, 0.0),
  ]
  # Turns of too few comparisons for an accuracy are counted.
  few = slices.fig08(ScalingConfig(fewest=51), pathlib.Path())
  assert few['by_turn'] == []
  assert (
    few['turns']
    == values['turns']
    == [
      {'turn': 1, 'count': 50},
      {'turn': 2, 'count': 50},
    ]
  )


def test_learning_curves_of_unequal_length_are_not_cut(monkeypatch):
  lengths = {'a': 3, 'b': 2}
  monkeypatch.setattr(
    scaling.curves,
    'read_points',
    lambda folder: dict.fromkeys(range(lengths[folder.name])),
  )
  monkeypatch.setattr(scaling, 'model_test', lambda line, data: ())
  line = Lineage(ScalingConfig(), 'nano0', 0, pathlib.Path())
  folders = pathlib.Path('a'), pathlib.Path('b')
  model = scaling.Model('nano0', 1, 1, (line, line), folders)
  with pytest.raises(ValueError, match=r'nano0 have \[3, 2\] points'):
    scaling.learning_curves([model])


def test_a_threshold_keeps_pairs_whose_lower_score_is_above(monkeypatch):
  made = made_up.scored(400, 0)
  level = np.linspace(-2, 2, 400).astype(np.float32)[:, None]
  # Good replies cannot be told apart.
  gap = made.scores * (level < 0)
  made = Scored(made.comparisons, gap + level)
  made_up.stand_in(monkeypatch, made_up.FakeModel('nano0', [made]))
  rows = slices.fig25(ScalingConfig(), pathlib.Path())['by_threshold']
  counts = [row['count'] for row in rows]
  assert counts == sorted(counts, reverse=True)
  assert counts[0] == 400 and counts[-1] == pytest.approx(40, abs=2)
  assert rows[0]['accuracy'][1] > 0.55
  assert rows[-1]['accuracy'][1] == 0.5


def test_centring_takes_the_mean_of_all_scores_away():
  made = made_up.scored(30, 10)
  moved = Scored(made.comparisons, made.scores + 7)
  np.testing.assert_allclose(
    slices.centred(moved).scores, slices.centred(made).scores, atol=1e-5
  )
