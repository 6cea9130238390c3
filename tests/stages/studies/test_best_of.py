"""Best of k: blocks of replies, expectations over subsets, and games."""

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest

from configs.figures import policies
from configs.presets import Choice
from hh_jax.data.prompts import Prompt
from hh_jax.stages import policy_comparison, rejection
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.rejection import Candidates
from hh_jax.stages.studies import arena, best_of
from hh_jax.stats import frontier
from tests.data import samples
from tests.stages import toys

RNG = np.random.default_rng(0)
CONFIG = policies.best_of(Choice('lab', 'nano', 'smoke'))


LINE = PolicyLineage(CONFIG, 'nano2', 0, pathlib.Path('made-up'))


def prompts(num):
  return tuple(
    Prompt(samples.dialogue(f'Question {i} about eggs?'), 'helpful', i)
    for i in range(num)
  )


def test_blocks_are_disjoint_and_in_order():
  found = Candidates(
    [[f'{p}{i}' for i in range(6)] for p in 'ab'],
    np.arange(12, dtype=np.float32).reshape(2, 6),
  )
  blocks = best_of.blocks(found, (1, 2, 3))
  assert list(blocks) == ['best_of_1', 'best_of_2', 'best_of_3']
  assert blocks['best_of_1'].replies == [['a0'], ['b0']]
  assert blocks['best_of_3'].replies == [['a3', 'a4', 'a5'], ['b3', 'b4', 'b5']]
  assert blocks['best_of_2'].best == ['a2', 'b2']
  np.testing.assert_array_equal(blocks['best_of_2'].scores, [[1, 2], [7, 8]])


def test_the_best_of_n_is_expected_over_all_subsets():
  scores, values = RNG.normal(size=(2, 3, 6))
  found = best_of.best_of_n_means(scores, values, (1, 2, 4))
  for place, n in enumerate((1, 2, 4)):
    for prompt in range(3):
      expected = [
        values[prompt, max(subset, key=lambda i: scores[prompt, i])]
        for subset in itertools.combinations(range(6), n)
      ]
      assert found[place, prompt] == pytest.approx(np.mean(expected))
  np.testing.assert_allclose(found[0], values.mean(1))


def test_powers_of_two_end_at_the_number_of_replies():
  assert list(best_of.powers_of_two(1)) == [1]
  assert list(best_of.powers_of_two(64)) == [1, 2, 4, 8, 16, 32, 64]
  assert list(best_of.powers_of_two(70))[-1] == 64


def test_a_planted_form_is_recovered():
  ns = tuple(best_of.powers_of_two(64))
  root = np.sqrt([frontier.best_of_n_kl(n) for n in ns])
  planted = root * (0.5 - 0.1 * root)
  table = planted + np.concatenate(
    [np.zeros((1, len(ns))), RNG.normal(scale=0.01, size=(300, len(ns)))]
  )
  curve = best_of.Curve('gold', ns, (table,))
  (form,) = best_of.forms([curve])
  assert form['alpha'][1] == pytest.approx(0.5)
  assert form['beta'][1] == pytest.approx(0.1)
  low, mid, high = form['peak_sqrt_kl']
  assert low < mid < high and mid == pytest.approx(2.5)
  assert form['points'] == len(ns) - 1
  rows = best_of.rows([curve])
  assert [row['n'] for row in rows] == list(ns)
  assert rows[0]['kl_bound'] == 0 and rows[-1]['gain'][1] == planted[-1]


def entrants(num, strengths):
  """Policies whose replies are named after how good a judge finds them."""
  return arena.Entrants(
    LINE,
    prompts(num),
    {name: [name] * num for name in strengths},
    {name: np.full(num, value) for name, value in strengths.items()},
    lambda: pathlib.Path('judge'),
  )


def test_a_gain_is_over_the_anchor_on_one_side():
  made = entrants(20, {'a': 1.0, 'b': 3.0})
  gain = arena.gain([made], [made.scores], 'b', 'a', 'helpful')
  assert gain.interval() == [2.0, 2.0, 2.0]
  assert arena.gain([made], [made.scores], 'a', 'b').mid == -2.0


def test_without_a_crowd_the_other_preference_model_judges(monkeypatch):
  made = entrants(150, {'weak': 0.0, 'strong': 0.0})
  monkeypatch.setattr(arena.worlds, 'has_gold', lambda data: False)
  judge = toys.as_run(toys.pm_params(), 'pm')
  monkeypatch.setattr(arena.loading, 'load_run', lambda path: judge)
  monkeypatch.setattr(
    policy_comparison,
    'score_policies',
    lambda config, pm, prompts, replies: {
      name: np.full(len(texts), {'weak': 0.0, 'strong': 1.5}[name])
      for name, texts in replies.items()
    },
  )
  hh = dataclasses.replace(made.data, world='hh')
  made.__dict__['data'] = hh
  games = arena.play(made, 2)
  assert len(games.first) == 300
  won = 1 - games.first_won.mean()  # 'weak' is first
  assert won == pytest.approx(1 / (1 + np.exp(-1.5)), abs=0.08)
  row = arena.describe(made, games)
  assert (row['judge'], row['played'], row['too_weak']) == ('test PM', 300, 0)


@pytest.mark.slow
def test_texts_are_scored_beside_each_other_as_alone():
  pm = toys.as_run(toys.pm_params(), 'pm')
  asked = prompts(2)
  texts = [['Put it in water.', 'No.'], ['It is noon.', '']]
  found = rejection.score(pm, asked, texts, CONFIG.rejection)
  for prompt, group, row in zip(asked, texts, found):
    ids = toys.TOKENIZER.encode_prompt(prompt.dialogue)
    for text, score in zip(group, row):
      alone = toys.plain_score(
        ids, toys.TOKENIZER.encode_reply(text), toys.pm_params()
      )
      assert score == pytest.approx(alone, abs=1e-4)


def test_candidates_are_read_back_as_they_were_written(tmp_path):
  found = Candidates(
    [['a', 'b'], ['', 'd\n']], np.array([[0.5, -1], [2, 3]], np.float32)
  )
  rejection.workdir_lib.write_jsonl(
    tmp_path / rejection.FILE, rejection.records(prompts(2), found)
  )
  asked, again = rejection.read(tmp_path)
  assert [prompt.dialogue for prompt in asked] == [
    prompt.dialogue for prompt in prompts(2)
  ]
  assert again.replies == found.replies
  np.testing.assert_array_equal(again.scores, found.scores)
