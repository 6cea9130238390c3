"""Writers beside policies: who wins, and what a unit of PM score is worth."""

import dataclasses
import pathlib

import numpy as np
import pytest

from configs.figures import policies
from configs.presets import Choice
from hh_jax.config import DataConfig
from hh_jax.report import preference_figures, table
from hh_jax.stages import inputs, loading, policy_comparison, worlds, written
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies import arena, elo, writers
from hh_jax.stats import elo as elo_stats
from hh_jax.stats.seeds import Estimate

SMOKE = Choice('lab', 'nano1', 'smoke')
CONFIG = policies.elo(SMOKE)
SIZES = CONFIG.sizes
LAB = DataConfig(test_fraction=0.2)
PROMPTS = tuple(worlds.prompts(LAB, 0, 150, 0.5, is_held_out=True))
# Share of lapses of the smallest policy of each kind.
LAPSES = {elo.DISTILLED: 0.9, elo.HELPFUL_ONLY: 0.85, elo.BOTH: 0.05}


def entered(seed=0):
  """Policies that lapse in known shares; a PM that likes what is good."""
  texts, scores = {}, {}
  for policy, rate in LAPSES.items():
    for step, size in enumerate(SIZES):
      name = elo.name_of(policy, size)
      own = max(0.0, rate - 0.05 * step)
      texts[name] = written.replies(LAB, 7 + seed, PROMPTS, own)
      scores[name] = np.full(len(PROMPTS), 1.0 - own)
  line = PolicyLineage(CONFIG, SIZES[-1], seed, pathlib.Path('made-up'))
  return arena.Entrants(line, PROMPTS, texts, scores, pathlib.Path)


@pytest.fixture(scope='module')
def monkeypatch_module():
  with pytest.MonkeyPatch.context() as patch:
    yield patch


@pytest.fixture(scope='module')
def judged(monkeypatch_module):
  """A preference model without a model behind it."""
  monkeypatch = monkeypatch_module
  monkeypatch.setattr(loading, 'load_run', lambda path: None)
  monkeypatch.setattr(
    policy_comparison,
    'score_policies',
    lambda config, pm, prompts, replies: {
      name: np.full(len(texts), 2.0) for name, texts in replies.items()
    },
  )


@pytest.fixture(scope='module')
def figure(judged, monkeypatch_module):
  monkeypatch_module.setattr(
    elo,
    'entrants',
    lambda line, rates: arena.with_writers(
      entered(line.seed), pathlib.Path('pm'), rates
    ),
  )
  config = dataclasses.replace(CONFIG, writer_lapses=(0.05, 0.6))
  return elo.fig01(config, pathlib.Path('made-up'))


def test_writers_are_rated_by_their_strength_on_either_side(figure):
  rows = figure['writers']
  assert [row['side'] for row in rows] == ['helpful'] * 2 + ['harmless'] * 2
  for side in ('helpful', 'harmless'):
    few, many = (row for row in rows if row['side'] == side)
    assert few['writer'] == 'writers, 5% lapses'
    assert few['elo'][1] > many['elo'][1]
    assert few['gold_gain'][1] > many['gold_gain'][1]


def test_the_writers_are_a_band_in_the_picture(figure):
  picture, _ = preference_figures.fig01(figure)
  places = [row['elo'][1] for row in figure['writers'][:2]]
  assert 'A band of writers from' in picture.alt
  assert f'to {table.format_number(max(places))}.' in picture.alt
  without, _ = preference_figures.fig01({**figure, 'writers': []})
  assert 'band' not in without.alt


def test_elo_per_unit_of_score_is_the_slope_through_the_anchor(figure):
  rows = {row['side']: row for row in figure['elo_per_pm_unit']}
  assert rows['helpful']['paper'] == pytest.approx(173.7, abs=0.1)
  start = 1.0 - (LAPSES[elo.DISTILLED] - 0.05 * (len(SIZES) - 1))
  own = [
    row
    for row in figure['by_size']
    if row['side'] == 'helpful' and row['elo'] != [0, 0, 0]
  ]
  gains = [
    1.0 - LAPSES[row['policy']] + 0.05 * SIZES.index(row['size']) - start
    for row in own
  ]
  ratings = [row['elo'][1] for row in own]
  slope = np.dot(gains, ratings) / np.dot(gains, gains)
  low, mid, high = rows['helpful']['elo_per_pm_unit']
  assert mid == pytest.approx(slope)
  assert low < mid < high
  said = preference_figures.say_fig01(figure)
  assert 'On helpful prompts a unit of PM score is worth' in said
  assert 'would make it 174.' in said


def test_a_slope_is_taken_on_every_resample():
  xs = [Estimate(np.array([[1.0, 1, 2]])), Estimate(np.array([[2.0, 2, 4]]))]
  ys = [Estimate(np.array([[3.0, 2, 8]])), Estimate(np.array([[6.0, 4, 16]]))]
  slope = elo.through_origin(xs, ys)
  assert slope.mid == 3.0
  assert slope.draws.tolist() == [2.0, 4.0]


@pytest.fixture(scope='module')
def fig24(judged, monkeypatch_module):
  def entrants(line, rate):
    whole = entered(line.seed)
    names = {policy: elo.name_of(policy, SIZES[-1]) for policy in LAPSES}
    del names[elo.DISTILLED]
    own = dataclasses.replace(
      whole,
      replies={policy: whole.replies[name] for policy, name in names.items()},
      scores={policy: whole.scores[name] for policy, name in names.items()},
    )
    return arena.with_writers(own, pathlib.Path('pm'), [rate])

  monkeypatch_module.setattr(writers, 'entrants', entrants)
  config = dataclasses.replace(policies.writers(SMOKE), writer_lapses=(0.4,))
  return writers.fig24(config, pathlib.Path('made-up'))


def test_policies_against_the_writers(fig24):
  rows = {row['policy']: row for row in fig24['against_writers']}
  better, worse = rows[elo.BOTH], rows[elo.HELPFUL_ONLY]
  assert better['wins'][1] > 0.5 > worse['wins'][1]
  assert better['elo'][1] > 0 > worse['elo'][1]
  assert better['gold_gain'][1] > 0 > worse['gold_gain'][1]
  assert better['elo_paper'] == pytest.approx(41.9, abs=0.1)
  assert worse['elo_paper'] == pytest.approx(6.9, abs=0.1)
  for row in rows.values():
    wins = elo_stats.win_fraction(row['elo_paper'], 0.0)
    assert wins == pytest.approx(row['wins_paper'])
  (picture,) = preference_figures.fig24(fig24)
  assert 'writers, 40% lapses' in picture.alt
  said = preference_figures.say_fig24(fig24)
  assert 'The crowd prefers RLHF to the writers in' in said
  assert '0.560' in said


def test_scores_are_shares_of_each_group(fig24):
  groups = {}
  for row in fig24['scores']:
    groups.setdefault(row['group'], []).append(row['share'])
  assert set(groups) == {'writers, 40% lapses', elo.BOTH, elo.HELPFUL_ONLY}
  for shares in groups.values():
    assert 0 < sum(shares) <= 1 + 1e-9


def test_elsewhere_there_are_no_writers(tmp_path):
  config = policies.writers(Choice('hh', 'nano1', 'smoke'))
  config = dataclasses.replace(config, data_dir=str(tmp_path))
  with pytest.raises(ValueError, match='world=hh has no replies by known writ'):
    inputs.require(config)
