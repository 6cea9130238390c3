"""What the lab's preference models are held against."""

import pathlib

import numpy as np
import pytest

from hh_jax.config import CalibrationConfig, MixtureConfig, ScalingConfig
from hh_jax.stages.studies import (
  calibration,
  mixtures,
  pm_targets,
  scaling,
)
from hh_jax.stats import seeds
from tests.stages.studies import made_up

NOT_SHOWN = 'not shown'


def known(mid, reach=0.005):
  """An estimate with an interval of about `mid` ± `reach`."""
  rng = np.random.default_rng(round(1000 * mid))
  noise = rng.uniform(-reach, reach, size=(1, 2000))
  return seeds.over_seeds([mid], mid + noise)


def met(rows):
  return [row['met'] for row in rows]


def test_sizes_are_held_against_bayes_and_against_each_other():
  by_size = {'a': known(0.70), 'b': known(0.697), 'c': known(0.66)}
  rows = pm_targets.of_sizes(by_size, known(0.678, 0.0))
  assert met(rows) == [NOT_SHOWN, True, False]
  assert rows[0]['value'][1] == pytest.approx(0.018)
  assert rows[2]['name'] == 'accuracy of c less b'
  assert met(pm_targets.of_sizes(by_size, known(0.69, 0.0)))[0] is False


def test_specialists_are_held_against_chance_and_the_even_mixture():
  by_fraction = {
    0.0: {'helpful': known(0.75), 'harmless': known(0.40)},
    0.5: {'helpful': known(0.74), 'harmless': known(0.65)},
    1.0: {'helpful': known(0.50), 'harmless': known(0.70)},
  }
  assert met(pm_targets.of_mixtures(by_fraction)) == [
    True,  # 0.40 on the other side
    True,  # 0.01 behind
    NOT_SHOWN,  # 0.50
    False,  # 0.05 behind
  ]
  without = pm_targets.of_mixtures({0.5: by_fraction[0.5]})
  assert met(without) == [False] * 4
  assert all(row['value'] is None for row in without)


def test_other_targets_are_on_their_right_side():
  assert met(pm_targets.of_calibration(known(0.02))) == [True]
  assert met(pm_targets.of_flatness(known(0.03), known(0.01))) == [True]
  assert met(pm_targets.of_flatness(known(0.01), None)) == [False]
  assert met(pm_targets.of_transfer({'ranked': known(0.02)})) == [True, False]
  assert met(pm_targets.of_detection(known(0.852))) == [NOT_SHOWN]
  assert met(pm_targets.of_exposure({3: known(0.9), 10: known(0.96)})) == [True]
  assert met(pm_targets.of_exposure({3: known(0.9)})) == [False]
  rows = [
    {'side': 'helpful', 'share': [0.82, 0.9, 1.0]},
    {'side': 'harmless', 'share': None},
  ]
  assert met(pm_targets.of_distillation(rows)) == [True, False]


def test_targets_of_a_figure_are_of_its_largest_size(monkeypatch):
  small, large = (
    made_up.FakeModel(size, [made_up.opinions(0, slope, 2000)])
    for size, slope in (('nano0', 0.1), ('nano1', 1.0))
  )
  made_up.stand_in(monkeypatch, small, large)
  values = calibration.fig09(
    CalibrationConfig(sizes=('nano0', 'nano1')), pathlib.Path()
  )
  assert [row['value'] for row in values['targets']] == [
    pytest.approx(values['errors'][-1]['ece'], abs=1e-4)
  ]


def test_mixtures_of_the_largest_size_are_held(monkeypatch):
  config = MixtureConfig(sizes=('nano0', 'nano1'), fractions=(0.0, 0.5, 1.0))
  monkeypatch.setattr(mixtures, '_require', lambda *args: None)

  def models(config, workdir, total, harmless_fraction):
    return [
      made_up.FakeModel(size, [made_up.scored(400, 400, right, right)])
      for size, right in (('nano0', 0.9), ('nano1', 0.2))
    ]

  monkeypatch.setattr(scaling, 'models', models)
  values = mixtures.fig19(config, pathlib.Path())
  crossed = values['targets'][0]
  assert crossed['met'] is True and crossed['value'][1] < 0.3
  assert len(values['by_fraction']) == 2 * 3 * 3


def test_a_world_without_truth_has_no_targets(monkeypatch):
  model = made_up.FakeModel('nano0', [made_up.opinions(0, 1.0)])
  made_up.stand_in(monkeypatch, model)
  monkeypatch.setattr(pm_targets.worlds, 'has_gold', lambda data: False)
  values = calibration.fig09(CalibrationConfig(), pathlib.Path())
  assert 'targets' not in values
  assert not pm_targets.has_truth(ScalingConfig())
