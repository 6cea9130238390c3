"""Planted curves: laws are recovered, and partings found where they are."""

import pathlib
from types import MappingProxyType

import numpy as np
import pytest

from hh_jax.config import RobustnessConfig
from hh_jax.report import record, robustness_figures
from hh_jax.stages import trajectory
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies import best_of, fits, matches, robustness
from hh_jax.stages.studies.matches import GOLD, TEST_PM, TRAIN_PM
from hh_jax.stages.trajectory import Trajectory
from hh_jax.stats import frontier

NUM_PROMPTS = 400
ROOT = np.linspace(0, 4, 33)  # √KL of the points
RNG = np.random.default_rng(0)


class Line(PolicyLineage):
  """A lineage whose preference models are names."""

  def half_pm(self, half):
    return pathlib.Path(f'{self.size}-{half}')


class Run(Trajectory):
  """A run whose mean scores are planted; prompts scatter around them."""

  prompts = ()
  points = tuple({'k1': x**2, 'k3': x**2} for x in ROOT)
  samples = np.arange(len(ROOT)) * 100
  clusters = np.arange(NUM_PROMPTS)
  sides = np.array(['helpful', 'harmless'] * (NUM_PROMPTS // 2))
  curves: dict
  divergence = ROOT**2

  @property
  def has_gold(self):
    return GOLD in self.curves

  def known(self, name):
    if name == 'kl':
      return np.tile(self.divergence[:, None], NUM_PROMPTS)
    return self.of(name)

  def scores(self, pm):
    return self.of({'nano1-train': TRAIN_PM, 'nano1-test': TEST_PM}[pm.name])

  def of(self, name):
    rng = np.random.default_rng([self.line.seed, self.noise_of[name]])
    noise = rng.normal(scale=0.3, size=(len(ROOT), NUM_PROMPTS))
    noise[0] = 0
    return self.curves[name][:, None] + self.start + noise

  @property
  def start(self):
    return np.random.default_rng(self.line.seed).normal(size=NUM_PROMPTS)

  noise_of = {TRAIN_PM: 1, TEST_PM: 2, GOLD: 3}


def match(monkeypatch, num_seeds=1, changes=MappingProxyType({}), **curves):
  """A match of planted gains over π0, by judge."""
  monkeypatch.setattr(trajectory, 'zero_of', lambda line, pm: 2.0)
  names = {'train': TRAIN_PM, 'test': TEST_PM, 'gold': GOLD}
  planted = {names[key]: value for key, value in curves.items()}
  runs = []
  for seed in range(num_seeds):
    line = Line(RobustnessConfig(), 'nano0', seed, pathlib.Path('made-up'))
    made = type('Planted', (Run,), {'curves': planted, **changes})
    runs.append(made(line, pathlib.Path(f'rlhf-{seed}')))
  return matches.Match('nano0', 'nano1', tuple(runs))


STRAIGHT = 0.25 * ROOT


def test_the_slope_of_a_planted_line_is_recovered(monkeypatch):
  made = match(monkeypatch, 2, train=STRAIGHT, test=0.5 * STRAIGHT)
  train, test = robustness.lines(made)
  for row, slope in ((train, 0.25), (test, 0.125)):
    low, mid, high = row['slope']
    assert low < slope < high and mid == pytest.approx(slope, abs=0.02)
    assert row['at_zero'][0] < 0 < row['at_zero'][2]
    low, mid, high = row['r2']
    assert mid > 0.9 and low <= mid <= high and row['least_r2'] <= mid
    assert (row['from_sqrt_kl'], row['to_sqrt_kl']) == (0.5, 2.0)
    assert row['points'] == 13  # 0.5, 0.625, ..., 2


def test_a_range_with_too_few_points_has_no_line(monkeypatch):
  near = {'divergence': np.full(len(ROOT), 0.3)}
  made = match(monkeypatch, 1, near, train=STRAIGHT, test=STRAIGHT)
  roots = trajectory.roots(made.runs)
  found = fits.line(roots, roots)
  assert found['points'] == 0 and found['slope'] is found['r2'] is None


def test_planted_forms_are_recovered(monkeypatch):
  with np.errstate(divide='ignore', invalid='ignore'):
    bent = np.where(ROOT > 0, ROOT * (0.6 - 0.4 * np.log(ROOT)), 0)
  made = match(monkeypatch, train=bent, test=bent, gold=bent)
  for row in robustness.forms(made):
    assert row['alpha'][1] == pytest.approx(0.6, abs=0.03)
    assert row['beta'][1] == pytest.approx(0.4, abs=0.03)
    assert row['alpha'][0] < row['alpha'][1] < row['alpha'][2]
    low, mid, high = row['peak_sqrt_kl']
    assert low < mid < high and mid == pytest.approx(np.exp(0.5), abs=0.15)
    assert row['points'] == len(ROOT) - 1


def test_the_parting_is_found_where_it_was_planted(monkeypatch):
  test = np.where(ROOT <= 2, STRAIGHT, 0.5 - 0.1 * (ROOT - 2))
  gold = np.where(ROOT <= 2.25, STRAIGHT, 0.5625 - 0.4 * (ROOT - 2.25))
  made = match(monkeypatch, train=STRAIGHT, test=test, gold=gold)
  (row,) = robustness.parting(made)
  assert row['part'] and 2.0 < row['stop_at_sqrt_kl'] <= 2.25
  assert row['part_at_sqrt_kl'] == row['stop_at_sqrt_kl']
  assert row['stop_at_samples'] == round(row['stop_at_sqrt_kl'] * 800)
  assert row['best_test_at_sqrt_kl'] == pytest.approx(2.0, abs=0.3)
  assert row['gap_at_end'][1] == pytest.approx(0.7, abs=0.05)
  for place in ('stop', 'best_test'):
    low, mid, high = row[f'share_at_{place}']
    assert low <= mid <= high and mid == pytest.approx(0.93, abs=0.07)
  assert row['best_gold_gain'][1] == pytest.approx(0.56, abs=0.06)


def test_clean_curves_rarely_part():
  """Where the gains are the same, an answer comes by chance alone."""
  found = 0
  for _ in range(200):
    gap = RNG.normal(size=(10, 1)) + np.array([-1.96, 0.0, 1.96])
    found += frontier.parting_of_gap(gap) is not None
  assert found / 200 < 0.06


def test_nothing_parts_where_train_and_test_agree(monkeypatch):
  made = match(monkeypatch, train=STRAIGHT, test=STRAIGHT)
  (row,) = robustness.parting(made)
  assert not row['part'] and row['part_at_sqrt_kl'] is None
  assert row['stop_at_sqrt_kl'] == row['end_sqrt_kl'] == 4.0
  assert row['best_test_at_sqrt_kl'] > 3.5  # both still rise
  assert 'share_at_stop' not in row  # no gold


def test_every_seed_has_a_row_and_their_mean_another(monkeypatch):
  made = match(monkeypatch, 3, train=STRAIGHT, test=0 * ROOT, gold=STRAIGHT)
  rows = robustness.parting(made)
  assert [row['seed'] for row in rows] == ['0', '1', '2', 'all']
  gaps = [row['gap_at_end'][1] for row in rows]
  assert gaps[-1] == pytest.approx(np.mean(gaps[:3]))
  assert all(row['part'] and row['stop_at_sqrt_kl'] <= 0.5 for row in rows)


def test_scores_are_above_the_zero_and_gains_above_the_start(monkeypatch):
  made = match(monkeypatch, train=STRAIGHT, test=0.5 * STRAIGHT)
  rows = robustness.course(made)
  assert len(rows) == 2 * len(ROOT)
  first, last = rows[0], rows[len(ROOT) - 1]
  start = made.runs[0].start.mean()
  assert first['score'][1] == pytest.approx(start - 2.0)
  assert first['gain'] == [0.0, 0.0, 0.0]
  assert last['gain'][1] == pytest.approx(1.0, abs=0.05)
  assert last['score'][1] == pytest.approx(start - 1.0, abs=0.05)
  assert last['sqrt_kl'] == [4.0, 4.0, 4.0]


def test_sets_are_the_papers_two_and_one_over_preference_models():
  config = RobustnessConfig(sizes=('nano0', 'nano1', 'nano2'))
  found = matches.pairs(config)
  assert [pm for _, pm in found[matches.LARGEST]] == ['nano2'] * 3
  assert all(size == pm for size, pm in found[matches.OWN])
  assert {size for size, _ in found[matches.EVERY]} == {'nano1'}
  assert len({pair for pairs in found.values() for pair in pairs}) == 6


def test_spread_between_prompts_does_not_part_pms_that_agree(monkeypatch):
  """What a PM scores all replies to a prompt alike says nothing of gains."""
  wide = {'start': 5 * np.random.default_rng(0).normal(size=NUM_PROMPTS)}
  for changes in ({}, wide):
    made = match(monkeypatch, 3, changes, train=STRAIGHT, test=STRAIGHT)
    assert not robustness.parting(made)[-1]['part']


def test_pms_are_compared_at_a_divergence_that_all_runs_reach(monkeypatch):
  """A run that ends early has not parted early, nor agreed longer."""
  opens = np.where(ROOT > 1, 0.3 * (ROOT - 1), 0.0)
  short = {'divergence': (ROOT / 4) ** 2}  # reaches √KL 1
  far = match(monkeypatch, 2, train=STRAIGHT + opens, test=STRAIGHT)
  near = match(monkeypatch, 2, short, train=STRAIGHT + opens, test=STRAIGHT)
  common, gaps = robustness.gaps_at_common([near, far])
  assert common == 1.0
  assert gaps[0].mid == pytest.approx(0.9, abs=0.05)  # all of it by √KL 1
  assert gaps[1].mid == pytest.approx(0.0, abs=0.05)
  held = robustness.targets_of(robustness.lines(far), [], [near, far])[-1]
  assert held['met'] is True and held['value'][1] == pytest.approx(0.9, abs=0.1)
  rows = robustness.agreement([near, far])
  assert [row['at_sqrt_kl'] for row in rows] == [1.0, 1.0]


def test_a_value_is_read_between_points():
  table = np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 2.0]])
  path = np.array([0.0, 1.0, 2.0])
  np.testing.assert_allclose(robustness.at_root(path, table, 1.5), [2.0, 2.0])
  np.testing.assert_allclose(robustness.at_root(path, table, 0.0), [0.0, 0.0])


def test_targets_stay_where_nothing_could_be_measured(monkeypatch):
  worse = np.where(ROOT > 0, -1.0, 0.0)
  flat = match(monkeypatch, 2, train=STRAIGHT, test=STRAIGHT, gold=worse)
  best = match(monkeypatch, 2, train=STRAIGHT, test=STRAIGHT, gold=STRAIGHT)
  near = {'divergence': np.full(len(ROOT), 0.3)}
  few = match(monkeypatch, 1, near, train=STRAIGHT, test=STRAIGHT)
  rows = robustness.targets_of(robustness.lines(few), [flat, best], [])
  assert [(row['value'] is None, row['met']) for row in rows] == [
    (False, False),  # no point of the line
    (True, False),  # so no R²
    (True, False),  # no gold gain that could be kept
    (False, rows[3]['met']),
  ]
  assert rows[3]['value'][1] > 0.97  # stopped at the end, which is best


def test_figure_4_is_whole(monkeypatch):
  """Planted to over-optimise: its rows, targets, words and panels agree."""
  test = np.where(ROOT <= 2, STRAIGHT, 0.5)
  gold = np.where(ROOT <= 2, STRAIGHT, 1.0 - STRAIGHT)
  made = match(monkeypatch, 3, train=STRAIGHT, test=test, gold=gold)
  monkeypatch.setattr(matches, 'of', lambda *args: [made, made])
  monkeypatch.setattr(best_of, 'against_halves', lambda *args: [])
  values = robustness.fig04(RobustnessConfig(), pathlib.Path())
  plain = record.to_plain(values)
  last = [row for row in plain['parting'] if row['seed'] == 'all'][-1]
  assert last['part'] and last['part_at_sqrt_kl'] == pytest.approx(
    2.25, abs=0.3
  )
  held = {row['name']: row['met'] for row in plain['targets']}
  assert len(held) == 4  # both policies are of one size
  assert held['R² of the largest line'] is not False
  assert 'part at √KL' in robustness_figures.say_fig04(plain)
  assert robustness_figures.fig04(plain)[0].rows
