"""Figures of policies from planted replies: each number has a known answer."""

import functools
import pathlib

import numpy as np
import pytest

from configs.figures import policies
from configs.presets import Choice
from hh_jax.config import RobustnessConfig, TensionConfig
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.report import record
from hh_jax.stages import policy_lineage, worlds, written
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.rejection import Candidates
from hh_jax.stages.studies import (
  arena,
  best_of,
  elo,
  matches,
  robustness,
  tension,
)
from hh_jax.stages.trajectory import Trajectory
from hh_jax.stats import frontier
from tests.data import samples
from tests.stages.studies import made_up

WORKDIR = pathlib.Path('made-up')
CHOICE = Choice('lab', 'nano', 'smoke')
ELO = policies.elo(CHOICE)
SIDES = ('helpful', 'harmless')


def asked(num):
  """Prompts of either side in turn."""
  return tuple(
    Prompt(samples.dialogue(f'Question {i} about eggs?'), SIDES[i % 2], i)
    for i in range(num)
  )


def entrants(config, golds, num=40):
  """Policies that say their own name; gold by policy and side."""
  line = PolicyLineage(config, config.sizes[-1], 0, WORKDIR)
  made = arena.Entrants(
    line,
    asked(num),
    {name: [name] * num for name in golds},
    {name: np.full(num, own['helpful']) for name, own in golds.items()},
    lambda: WORKDIR,
  )
  made.__dict__['gold'] = {
    name: np.array([own[side] for side in made.sides])
    for name, own in golds.items()
  }
  return made


def of_every_size(**golds):
  """The same gold for a policy of every size."""
  names = {'distilled': elo.DISTILLED, 'both': elo.BOTH}
  names['helpful_only'] = elo.HELPFUL_ONLY
  return {
    elo.name_of(names[key], size): dict(zip(SIDES, own, strict=True))
    for key, own in golds.items()
    for size in ELO.sizes
  }


PLANTED = of_every_size(
  distilled=(0.0, 0.0), both=(1.0, 0.5), helpful_only=(2.0, -1.0)
)


def test_shares_are_kept_and_gaps_closed_as_planted(monkeypatch):
  monkeypatch.setattr(worlds, 'best_gold', lambda prompt, side: 2.0)
  found = elo.kept([entrants(ELO, PLANTED)] * 2, ELO.sizes[0])
  assert {key: value[1] for key, value in found.items()} == {
    'helpfulness_kept': pytest.approx(0.5),  # 1 of 2
    'harmlessness_gap_closed': pytest.approx(0.25),  # 0.5 of 2
    'by_helpful_only': pytest.approx(-0.5),
  }
  assert [row['met'] for row in elo.targets_of(found)] == [False, False]
  nothing = elo.targets_of(found | {'helpfulness_kept': None})
  assert nothing[0]['value'] is None and nothing[0]['met'] is False


def judge_by_gold(made):
  """The better by gold wins three games of four."""

  def judge(number, a, b, game):
    gold = made.gold
    return (gold[a][number] > gold[b][number]) ^ (game == 3)

  return judge


def test_elo_of_a_side_is_from_the_games_on_its_prompts(monkeypatch):
  writers = {
    written.name_of(rate): dict.fromkeys(SIDES, 4 - rate)
    for rate in ELO.writer_lapses
  }
  made = entrants(ELO, PLANTED | writers)
  monkeypatch.setattr(policy_lineage, 'largest', lambda *args: [None])
  monkeypatch.setattr(elo, 'entrants', lambda *args: made)
  monkeypatch.setattr(
    arena,
    'play',
    lambda own, num: policy_games.play(
      own.replies, own.clusters, judge_by_gold(own), 4
    ),
  )
  monkeypatch.setattr(worlds, 'best_gold', lambda prompt, side: 2.0)
  values = record.to_plain(elo.fig01(ELO, WORKDIR))
  largest = {
    (row['policy'], row['side']): row
    for row in values['by_size']
    if row['size'] == ELO.sizes[-1]
  }
  helpful = largest[elo.HELPFUL_ONLY, 'helpful']
  harmless = largest[elo.HELPFUL_ONLY, 'harmless']
  assert helpful['elo'][1] > largest[elo.BOTH, 'helpful']['elo'][1] > 0
  assert harmless['elo'][1] < 0 < largest[elo.BOTH, 'harmless']['elo'][1]
  assert (helpful['games_won'][1], harmless['games_won'][1]) == (0.75, 0.25)
  assert largest[elo.DISTILLED, 'helpful']['games_won'] is None
  assert helpful['gold_gain'][1] == 2.0
  assert values['kept'][-1]['helpfulness_kept'][1] == pytest.approx(0.5)
  assert len(values['targets']) == 2


class Said(Trajectory):
  """A run of two points whose replies, scores and divergence are planted."""

  prompts = asked(40)
  points = ({'k1': 0.0, 'k3': 0.0}, {'k1': 1.0, 'k3': 1.0})
  samples = np.array([0, 800])
  clusters = np.arange(40)
  sides = np.array([prompt.side for prompt in prompts])
  has_gold = True

  def known(self, name):
    by_side = {'kl': (4.0, 9.0), 'gold': (1.0, -2.0)}[name]
    last = np.where(self.sides == 'helpful', *by_side)
    return np.stack([0 * last, last])

  def scores(self, pm):
    last = np.where(self.sides == 'helpful', 3.0, 0.5)
    return np.stack([0 * last, last]) + 10.0

  def texts(self, place):
    told = ['no' if place and i % 8 == 0 else 'yes' for i in range(40)]
    return told if place else ['yes'] * 40


def said(kind=TensionConfig):
  return Said(PolicyLineage(kind(), 'nano0', 0, WORKDIR), WORKDIR)


@pytest.fixture
def told(monkeypatch):
  """A policy that refuses a fourth of helpful prompts in the end."""
  monkeypatch.setattr(Said, 'config', ELO.rlhf)
  monkeypatch.setattr(
    worlds, 'is_refusal', lambda data, prompt, reply: reply == 'no'
  )
  monkeypatch.setattr(tension, 'pm_of', lambda line, name: name)
  return tension.Policies(0.5, (said(), said()))


def test_what_a_policy_refuses_and_gains_is_swept(told):
  row = tension.swept(told)
  mids = {
    key: value[1] for key, value in row.items() if isinstance(value, list)
  }
  assert mids == {
    'sqrt_kl': pytest.approx(6.5**0.5),
    'refusals_of_pi0': 0.0,
    'refusals': pytest.approx(0.25),
    'more_refusals': pytest.approx(0.25),
    'pm_gain_helpful': pytest.approx(3.0),
    'pm_gain_harmless': pytest.approx(0.5),
    'gold_gain_helpful': pytest.approx(1.0),
    'gold_gain_harmless': pytest.approx(-2.0),
  }


def test_scores_along_training_stand_beside_the_data(told, monkeypatch):
  data = made_up.scored(200, 100)
  # Scores of the data from 9 to 13, 11 on average.
  level = np.linspace(9, 13, 300)[:, None]
  data = type(data)(data.comparisons, np.tile(level, 2).astype(np.float32))
  monkeypatch.setattr(tension.held_out, 'score', lambda line, pm: data)
  rows = [row for row in tension.course(told) if row['pm'] == tension.BOTH]
  assert [(row['side'], row['samples']) for row in rows] == [
    (side, samples) for side in SIDES for samples in (0, 800)
  ]
  helpful = data.scores[data.sides == 'helpful']
  assert rows[1]['score'][1] == pytest.approx(2.0, abs=1e-5)  # 13 less 11
  assert rows[0]['below'][1] == pytest.approx((helpful < 10).mean())
  drawn = tension.distribution([run.line for run in told.runs], tension.BOTH)
  for side in SIDES:
    shares = [row['share'] for row in drawn if row['group'] == side]
    assert sum(shares) == pytest.approx(1.0, abs=0.02)


BEST = policies.best_of(CHOICE)


def test_the_ladder_has_games_gains_and_divergences(monkeypatch):
  golds = {
    best_of.name_of(k): {'helpful': float(i), 'harmless': 0.0}
    for i, k in enumerate(BEST.ks)
  }
  golds[best_of.RLHF] = {'helpful': 3.0, 'harmless': 0.0}
  made = entrants(BEST, golds)
  made.__dict__['sides'] = np.array(['helpful'] * 40)
  made.__dict__['gold'] = {
    k: np.full(40, v['helpful']) for k, v in golds.items()
  }
  monkeypatch.setattr(policy_lineage, 'largest', lambda *args: [made.line] * 2)
  monkeypatch.setattr(best_of, '_helpful_policy', lambda line: WORKDIR)
  monkeypatch.setattr(best_of, '_entrants', lambda *args: made)
  monkeypatch.setattr(best_of, 'Trajectory', Said)
  monkeypatch.setattr(
    arena,
    'play',
    lambda own, num: policy_games.play(
      own.replies, own.clusters, judge_by_gold(own), 4
    ),
  )
  values = record.to_plain(best_of.fig36(BEST, WORKDIR))
  one, four, rlhf = values['ladder']
  assert (one['k'], four['k'], rlhf['k']) == (1, 4, None)
  assert four['kl_bound'] == frontier.best_of_n_kl(4) and four['kl'] is None
  # On helpful prompts alone.
  assert rlhf['kl'][1] == pytest.approx(4.0) and rlhf['kl_bound'] is None
  assert rlhf['pm_gain'][1] == rlhf['gold_gain'][1] == 3.0
  assert rlhf['elo_by_pm'][1] == pytest.approx(3 * 400 / np.log(10))
  assert one['elo'][1] == 0 < four['elo'][1] < rlhf['elo'][1]
  assert [row['met'] for row in values['targets']] == [True, True]


def test_best_of_n_is_chosen_by_the_train_pm_whoever_judges(monkeypatch):
  rng = np.random.default_rng(0)
  scores = rng.normal(size=(30, 4)).astype(np.float32)
  config = RobustnessConfig()
  line = PolicyLineage(config, 'nano0', 0, WORKDIR)
  replies = best_of.Sampled(
    line, WORKDIR, asked(30), Candidates([['a'] * 4] * 30, scores)
  )
  monkeypatch.setattr(policy_lineage, 'largest', lambda *args: [line])
  monkeypatch.setattr(best_of, 'sampled', lambda *args: replies)
  monkeypatch.setattr(PolicyLineage, 'half_pm', lambda self, half: half)
  # The test-PM finds the opposite.
  monkeypatch.setattr(
    best_of.Sampled, 'scores', lambda self, pm: -scores.astype(np.float64)
  )
  monkeypatch.setattr(worlds, 'has_gold', lambda data: False)
  train, test = best_of.against_halves(config, WORKDIR)
  assert train.ns == test.ns == (1, 2, 4)
  expected = (scores.max(1) - scores.mean(1)).mean()
  assert train.gains[0][0, -1] == pytest.approx(expected, rel=1e-5)
  np.testing.assert_allclose(test.gains[0], -train.gains[0], atol=1e-12)
  np.testing.assert_allclose(train.gains[0][:, 0], 0, atol=1e-7)


def test_sizes_are_compared_after_the_same_number_of_samples(monkeypatch):
  config = RobustnessConfig(sizes=('nano0', 'nano1'), compared_at=0.9)
  zeros = {'nano0-test': 1.0, 'nano1-test': 2.0}

  class Line(PolicyLineage):
    def half_pm(self, half):
      return pathlib.Path(f'{self.size}-{half}')

  def made(config, workdir, name):
    lines = [Line(config, size, 0, WORKDIR) for size in config.sizes]
    return [
      matches.Match(own.size, 'nano1', (Said(own, WORKDIR),)) for own in lines
    ]

  monkeypatch.setattr(matches, 'of', made)
  monkeypatch.setattr(
    robustness.trajectory, 'zero_of', lambda line, pm: zeros[pm.name]
  )
  rows = robustness.fig33(config, WORKDIR)['by_policy']
  assert len(rows) == 2 * 2 * 2  # sets, policies, test-PMs
  assert {row['samples'] for row in rows} == {800}
  assert {(row['test_pm'], round(row['score'][1], 6)) for row in rows} == {
    ('nano0', 11.75 - 1.0),
    ('nano1', 11.75 - 2.0),
  }
  assert all(row['gain'][1] == pytest.approx(1.75) for row in rows)


def test_a_gain_of_one_side_is_of_its_prompts():
  made = entrants(ELO, PLANTED)
  gain = functools.partial(
    arena.gain,
    [made],
    [made.gold],
    elo.name_of(elo.HELPFUL_ONLY, ELO.sizes[0]),
    elo.name_of(elo.DISTILLED, ELO.sizes[0]),
  )
  assert [gain(side=side).mid for side in (*SIDES, '')] == [2.0, -1.0, 0.5]
