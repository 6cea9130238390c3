"""Studies of online training on planted choices and comparisons."""

import dataclasses
import pathlib

import numpy as np
import pytest

from configs.figures import policies
from configs.presets import Choice
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.stages import inputs, rlhf, sources, targets, worlds
from hh_jax.stages.conversations import Exchange
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies import (
  online_elo,
  online_log_probs,
  online_mix,
  online_sources,
)
from hh_jax.stages.studies.online_elo import Contest
from hh_jax.stages.studies.online_sources import Last
from hh_jax.stats import elo
from tests.data import samples
from tests.stages import toys

CONFIG = policies.online(Choice('lab', 'nano0', 'smoke'))
LINE = PolicyLineage(CONFIG, 'nano0', 0, pathlib.Path('made-up'))
STRENGTHS = {'pi0': 0.0, '1': 0.5, '2': 1.2}  # nats


def contest(num=6000, shift=0.0):
  """Conversations of two exchanges in which the strengths decide."""
  rng = np.random.default_rng(0)
  exchanges, scores = [], []
  for number in range(num):
    models = tuple(rng.permutation(list(STRENGTHS))[:2].tolist())
    own = np.array([STRENGTHS[name] for name in models])
    won = rng.random() < 1 / (1 + np.exp(own[1] - own[0]))
    exchanges.append(
      Exchange(
        samples.dialogue(f'{number // 2}?'),
        'helpful',
        number // 2,
        number % 2 + 1,
        models,
        ('a', 'a' if number % 50 == 0 else 'b'),
        winner=0 if won else 1,
        step=4 if number % 10 == 0 else (2 if won else 7),
        worker=0,
      )
    )
    scores.append(2 * own + shift + rng.normal(0, 0.1, 2))
  last = Last(LINE, online_sources.BOTH, pathlib.Path('pm'), pathlib.Path('p'))
  return Contest(last, exchanges, np.array(scores))


def test_planted_strengths_are_recovered(monkeypatch):
  monkeypatch.setattr(online_elo, 'predicted', lambda found: [])
  found = online_elo.estimates([contest(shift=-3.0)])
  for name, factor in (
    (online_elo.WORKERS, 1),
    (online_elo.DIALOGUES, 2),  # the PM finds every difference twice as large
    (online_elo.CHOICES, 2),
  ):
    for estimate, step in zip(found[name], ('1', '2'), strict=True):
      planted = factor * elo.elo_per_score() * STRENGTHS[step]
      assert estimate.mid == pytest.approx(planted, abs=22), (name, step)
      low, _, high = estimate.interval()
      assert low < estimate.mid < high


def test_unsure_choices_are_no_games_and_equal_texts_ties():
  held = contest(1000)
  games = held.by_workers()
  assert len(games.first) == 920  # every 50th is a 10th, too
  assert (games.first_won == 0.5).sum() == 20
  assert (games.num_equal, games.num_weak) == (20, 80)
  assert len(held.by_pm().first) == 1000
  assert len(set(held.clusters)) == 500
  assert set(games.conversation) <= set(held.clusters)


def test_scores_and_choices_are_resampled_together(monkeypatch):
  monkeypatch.setattr(online_elo, 'predicted', lambda found: [])
  found = online_elo.estimates([contest(600)])
  for scored, chosen in zip(
    found[online_elo.DIALOGUES], found[online_elo.CHOICES], strict=True
  ):
    assert np.corrcoef(scored.draws, chosen.draws)[0, 1] > 0.5


def test_a_policy_without_a_reply_is_named():
  held = contest(20)
  held = dataclasses.replace(
    held, exchanges=held.exchanges[:1], scores=held.scores[:1]
  )
  with pytest.raises(ValueError, match='not all answered in 1 conv'):
    held.mean_scores()


def test_pairs_of_two_seeds_are_one_where_their_conversation_is():
  found = [
    online_log_probs.pairs_of(dataclasses.replace(LINE, seed=seed))
    for seed in (0, 1)
  ]
  for name in ('helpful', 'harmless', online_log_probs.HHH):
    firsts, keys = zip(
      *(
        ({item.prompt.first_human for item in items}, set(keys.tolist()))
        for items, keys in (own[name] for own in found)
      ),
      strict=True,
    )
    assert len(keys[0]) == len(firsts[0]) > 1
    assert len(keys[0] & keys[1]) == len(firsts[0] & firsts[1])


def test_the_arms_are_of_one_size_and_the_mix_is_even():
  parts = {
    name: [
      dataclasses.replace(item, tranche=name)
      for item in toys.comparisons(count, 0)
    ]
    for name, count in (('base', 90), ('rejection-sampled', 40), ('online', 25))
  }
  found = online_mix.arms(parts, seed=0)
  alone, mix = found[online_mix.ALONE], found[online_mix.MIX]
  assert len(alone) == len(mix) == 75
  assert {item.tranche for item in alone} == {'base'}
  tranches = [item.tranche for item in mix]
  assert {tranches.count(name) for name in parts} == {25}
  assert online_mix.arms(parts, seed=0) == found
  # Little base data leaves the mix small, too.
  parts['base'] = parts['base'][:30]
  found = online_mix.arms(parts, seed=0)
  assert [len(own) for own in found.values()] == [30, 30]


def test_arms_have_their_own_prompts_and_share_held_out_ones(
  tmp_path, monkeypatch
):
  for name in online_sources.SOURCES:
    rows = [samples.row(f'{name} {n}?', 'Yes.', 'No.') for n in range(60)]
    samples.write(tmp_path / 'data' / f'helpful-{name}' / 'train.jsonl', rows)
  config = dataclasses.replace(
    policies.online(Choice('hh', 'nano0', 'smoke')),
    data_dir=str(tmp_path / 'data'),
  )
  trained = {}

  def describe(folder):
    own = trained.get(folder)
    values = {} if own is None else dataclasses.asdict(own)
    result = {'num_comparisons': 1}
    return inputs.Description(folder, 'made-up', values, {}, '', result)

  monkeypatch.setattr(sources, 'identity', lambda _: '')  # no text is there
  monkeypatch.setattr(inputs, 'describe', describe)
  monkeypatch.setattr(PolicyLineage, 'distilled', lambda _: tmp_path / 'pi0')
  monkeypatch.setattr(online_mix.online_models, 'pm_on', lambda _, own: own)
  monkeypatch.setattr(
    rlhf, 'run', lambda config, folder: trained.update({folder: config})
  )
  runs = online_mix.arms_of(PolicyLineage(config, 'nano0', 0, tmp_path)).runs
  answered = {
    arm: {
      prompt.dialogue.first_human.split()[0]
      for prompt in worlds.prompts(run.config.data, 0, 999, 0.0, False)
    }
    for arm, run in runs.items()
  }
  assert answered[online_mix.ALONE] == {online_sources.BASE}
  assert answered[online_mix.MIX] == set(online_sources.SOURCES)
  alone, mix = (run.prompts for run in runs.values())
  assert alone == mix


def test_a_lead_of_the_mix_within_its_interval_is_not_shown(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(online_mix.policy_lineage, 'largest', lambda *_: [])
  for lead, met in (
    ([1.0, 5.0, 9.0], True),
    ([-1.0, 5.0, 9.0], targets.NOT_SHOWN),
    ([-9.0, -5.0, -1.0], False),
  ):
    rows = {'difference': [{'samples': 8, 'elo': lead}]}
    monkeypatch.setattr(online_mix, 'courses', lambda *_, found=rows: found)
    (target,) = online_mix.fig16(CONFIG, tmp_path)['targets']
    assert (target['value'], target['met']) == (lead, met)


def test_released_files_are_told_apart_by_name(tmp_path):
  for folder in ('helpful-base', 'helpful-online', 'harmless-base'):
    rows = [samples.row(f'{folder}?', 'Yes.', 'No.')]
    samples.write(tmp_path / folder / 'train.jsonl', rows)
  config = dataclasses.replace(
    policies.online(Choice('hh', 'nano0', 'smoke')), data_dir=str(tmp_path)
  )
  line = PolicyLineage(config, 'nano0', 0, tmp_path)
  with pytest.raises(ValueError, match='no helpful comparison of rejection-'):
    online_sources.helpful(line)
  rows = [samples.row('best?', 'Yes.', 'No.')]
  samples.write(tmp_path / 'helpful-rejection-sampled/train.jsonl', rows)
  found = online_sources.helpful(line)
  read = comparisons_lib.read_comparisons(tmp_path).comparisons
  assert sum(map(len, found.values())) == len(read) - 1
  assert all(len(items) == 1 for items in found.values())


def test_a_figure_takes_no_given_tranche(tmp_path):
  config = dataclasses.replace(CONFIG, tranche='a', iteration=1)
  with pytest.raises(ValueError, match='is of one iteration'):
    online_sources.helpful(PolicyLineage(config, 'nano0', 0, tmp_path))


def test_figure_35_needs_a_crowd(tmp_path):
  config = dataclasses.replace(
    policies.online(Choice('hh', 'nano0', 'smoke')), data_dir=str(tmp_path)
  )
  with pytest.raises(ValueError, match='world=hh has no crowd'):
    online_elo.fig35(config, tmp_path)
