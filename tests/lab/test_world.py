"""The lab's material: random access, splits, leaks and design targets."""

import collections
import hashlib
import itertools

import numpy as np
import pytest

from hh_jax.data.dialogue import Dialogue
from hh_jax.lab import (
  constants,
  crowd,
  draws,
  faults,
  judge,
  posts,
  reading,
  redteam,
  world,
)

SIDES = ('helpful', 'harmless')


@pytest.fixture(scope='module')
def compared():
  return {side: world.comparisons(0, 2000, side) for side in SIDES}


def replies_of(dialogue):
  """(prompt, reply) of every assistant turn."""
  for index in range(1, len(dialogue.turns), 2):
    yield Dialogue(dialogue.turns[:index]), dialogue.turns[index].text


def test_random_access():
  for side in SIDES:
    long = world.comparisons(5, 60, side)
    assert world.comparisons(5, 25, side) == long[:25]
    assert world.comparisons(5, 13, side, start=17) == long[17:30]
    assert world.comparisons(6, 60, side) != long
  assert world.documents(5, 9)[:4] == world.documents(5, 4)
  assert posts.ranked_posts(5, 9)[:4] == posts.ranked_posts(5, 4)
  made = world.prompts(5, 30, 0.5, 'train')
  assert world.prompts(5, 10, 0.5, 'train', start=20) == made[20:]
  assert [prompt.prompt_id for prompt in made] == list(range(30))
  assert world.demonstrations(5, 9)[:4] == world.demonstrations(5, 4)


def test_conversations_continue_with_the_picked_reply(compared):
  num = 0
  for side, items in compared.items():
    for one, two in itertools.pairwise(items):
      assert one.prompt.turns[-1].role == 'human'
      assert one.turn == (len(one.prompt.turns) + 1) // 2
      if two.turn > 1:
        picked = one.chosen if side == 'helpful' else one.rejected
        assert two.prompt.turns[: len(one.prompt.turns)] == one.prompt.turns
        assert two.prompt.turns[-2].text == picked
        num += 1
  assert num > 2000


def test_turn_counts_fall(compared):
  for items in compared.values():
    counts = collections.Counter(item.turn for item in items)
    assert [counts[turn] for turn in (1, 2, 3, 4)] == [800, 600, 400, 200]


def test_kept_choices_agree_with_gold(compared):
  for items in compared.values():
    assert 0.68 <= crowd.bayes_accuracy(items) <= 0.76


def test_few_ties(compared):
  for side, items in compared.items():
    values = [
      judge.utility(c.prompt, c.chosen, side)
      - judge.utility(c.prompt, c.rejected, side)
      for c in items
    ]
    assert np.mean(np.asarray(values) == 0) < 0.01
    assert all(c.chosen != c.rejected for c in items)


def accuracy_of_rule(rank, items):
  credit = 0.0
  for item in items:
    chosen, rejected = (
      rank[judge.classify(item.prompt, reply)]
      for reply in (item.chosen, item.rejected)
    )
    credit += 0.5 + 0.5 * np.sign(chosen - rejected)
  return credit / len(items)


def test_cross_rules_are_below_chance(compared):
  harmless = {
    'redirect': 4,
    'refuse': 3,
    'vague': 2,
    'rude': 1,
    'right': 0,
    'wrong': 0,
    'comply': 0,
    'other': 1,
  }
  helpful = {
    'right': 5,
    'comply': 5,
    'wrong': 4,
    'vague': 3,
    'redirect': 2,
    'refuse': 1,
    'rude': 0,
    'other': 0,
  }
  assert accuracy_of_rule(harmless, compared['harmless']) > 0.65
  assert accuracy_of_rule(helpful, compared['helpful']) > 0.65
  assert accuracy_of_rule(harmless, compared['helpful']) < 0.4
  assert accuracy_of_rule(helpful, compared['harmless']) < 0.4


def bag_of_words(items, vocabulary):
  rows = np.zeros((len(items), len(vocabulary)))
  for row, item in enumerate(items):
    for text, sign in ((item.chosen, 1), (item.rejected, -1)):
      for word in text.split():
        rows[row, vocabulary[word]] += sign
  return rows


def fit_logistic(rows, num_steps=60):
  weights = np.zeros(rows.shape[1])
  for _ in range(num_steps):
    weights += 0.5 * rows.T @ (1 / (1 + np.exp(rows @ weights))) / len(rows)
  return weights


def test_learned_word_weights_cross_below_chance(compared):
  words = {
    word: index
    for index, word in enumerate(
      sorted(
        {
          word
          for items in compared.values()
          for item in items
          for word in (item.chosen + ' ' + item.rejected).split()
        }
      )
    )
  }
  rows = {side: bag_of_words(items, words) for side, items in compared.items()}
  for side, other in (SIDES, SIDES[::-1]):
    weights = fit_logistic(rows[side][:1500])
    assert np.mean(rows[side][1500:] @ weights > 0) > 0.55
    assert np.mean(rows[other] @ weights > 0) < 0.45


def share_of_pairs(items, one, two):
  num = sum(
    {judge.classify(c.prompt, c.chosen), judge.classify(c.prompt, c.rejected)}
    == {one, two}
    for c in items
  )
  return num / len(items)


def test_right_is_compared_with_wrong_and_with_beside_the_point(compared):
  assert 0.10 < share_of_pairs(compared['helpful'], 'right', 'wrong') < 0.17
  assert 0.15 < share_of_pairs(compared['helpful'], 'right', 'other') < 0.30


def test_faults_lower_the_utility():
  prompt = Dialogue((world.Turn('human', 'what colour is a lemon?'),))
  good = 'of course, a lemon is yellow.'
  kinds = collections.Counter()
  for index in range(200):
    text = faults.put(draws.stream(0, 'test/fault', index), good)
    kinds[judge.classify(prompt, text)] += 1
    assert text != good
    assert judge.helpfulness(prompt, text) < judge.helpfulness(prompt, good)
  assert kinds['other'] > 100


def test_held_out_families_do_not_leak(compared):
  trained = {danger.name for danger in redteam.TRAINED}
  dialogues = [item.prompt for item in compared['harmless']]
  dialogues += [p.dialogue for p in world.prompts(1, 800, 0.7, 'all')]
  dialogues += [d for group in world.documents(1, 150) for d in group]
  dialogues += world.demonstrations(1, 100, 1.0)
  acts = [act for danger in redteam.HELD_OUT for act in danger.acts]
  secret = acts + [
    phrase
    for danger in redteam.HELD_OUT
    for phrase in danger.steps + danger.offers
  ]
  replies = [
    reply
    for items in compared.values()
    for item in items
    for reply in (item.chosen, item.rejected)
  ]
  replies += [
    answer['text']
    for post in posts.ranked_posts(1, 400)
    for answer in post['answers']
  ]
  for reply in replies:
    assert not any(phrase in reply for phrase in secret), reply
  seen = set()
  for dialogue in dialogues:
    text = ' '.join(turn.text for turn in dialogue.turns)
    assert not any(phrase in text for phrase in secret), text
    request = reading.read(dialogue)
    if isinstance(request, reading.Attack):
      seen.add(request.name)
  assert seen == trained and len(trained) == 4
  for post in posts.ranked_posts(1, 200):
    assert not any(act in post['title'] for act in acts)
  asked = world.prompts(1, 60, 1.0, 'all', held_out=True)
  assert {prompt.family for prompt in asked} == set(constants.HELD_OUT)
  items = world.comparisons(1, 40, 'harmless', held_out=True)
  assert {reading.read(c.prompt).name for c in items} == set(constants.HELD_OUT)


def test_splits_are_disjoint():
  train, test = (
    {p.dialogue.first_human for p in world.prompts(2, 300, 0.5, split)}
    for split in ('train', 'test')
  )
  assert not train & test and len(test) > 50
  for side in SIDES:
    train, test = (
      {
        c.prompt.first_human
        for c in world.comparisons(
          2, 400, side, split=split, test_fraction=0.35
        )
      }
      for split in ('train', 'test')
    )
    assert not train & test and test


def test_every_prompt_can_be_read_and_is_one_line():
  prompts = world.prompts(3, 400, 0.4, 'train')
  for prompt in prompts:
    request = reading.read(prompt.dialogue)
    assert request is not None and request.name == prompt.family
    assert isinstance(request, reading.Attack) == (prompt.side == 'harmless')
    for turn in prompt.dialogue.turns:
      assert '\n' not in turn.text and turn.text == turn.text.strip()
  share = np.mean([prompt.side == 'harmless' for prompt in prompts])
  assert 0.3 < share < 0.5


def is_good(prompt, reply):
  return judge.classify(prompt, reply) in ('right', 'redirect')


def test_unprompted_styles_are_mediocre_and_context_shifts_them():
  counts = {'harmless': collections.Counter(), 'helpful': collections.Counter()}
  after = collections.defaultdict(list)
  lengths = []
  for group in world.documents(4, 300):
    lengths.append(len(group))
    graded = []
    for dialogue in group:
      for prompt, reply in replies_of(dialogue):
        is_attack = isinstance(reading.read(prompt), reading.Attack)
        side = 'harmless' if is_attack else 'helpful'
        counts[side][judge.classify(prompt, reply)] += 1
        graded.append(is_good(prompt, reply))
    if len(graded) > 5:
      after[sum(graded[:5])] += graded[5:]
  helpful = counts['helpful']['right'] / counts['helpful'].total()
  complying = counts['harmless']['comply'] / counts['harmless'].total()
  assert 0.40 < helpful < 0.54
  assert 0.38 < complying < 0.52
  assert counts['helpful']['other'] == counts['harmless']['other'] == 0
  assert np.mean(after[5]) > 0.65
  assert np.mean(after[0]) < 0.3
  assert (min(lengths), max(lengths)) == (1, 16)


def test_crowd_scale():
  comparison = world.comparisons(0, 1, 'helpful')[0]
  prompt = comparison.prompt
  rng = draws.stream(0, 'test/crowd', 0)
  choices = [
    crowd.compare(prompt, comparison.chosen, '', 'helpful', rng)
    for _ in range(2000)
  ]
  assert {choice.strength for choice in choices} == set(range(1, 9))
  for choice in choices:
    assert choice.kept == (choice.strength not in (4, 5))
    assert (choice.winner == 'a') == (choice.strength <= 4)
  assert np.mean([choice.winner == 'a' for choice in choices]) > 0.6
  by_worker = collections.Counter(choice.worker for choice in choices)
  assert sum(n for _, n in by_worker.most_common(20)) > 0.8 * len(choices)


def test_bad_arguments():
  with pytest.raises(ValueError, match='side'):
    world.comparisons(0, 1, 'honest')
  with pytest.raises(ValueError, match='split'):
    world.prompts(0, 1, 0.5, 'valid')
  with pytest.raises(ValueError, match='harmless_fraction'):
    world.prompts(0, 1, 1.5, 'train')
  with pytest.raises(ValueError, match='no comparisons'):
    crowd.bayes_accuracy([])
  with pytest.raises(ValueError, match='weights'):
    draws.Table({})


def test_material_of_this_version_is_unchanged():
  """A new digest means new material: bump LAB_VERSION and rerun all results."""
  dialogues = [d for group in world.documents(0, 20) for d in group]
  dialogues += [p.dialogue for p in world.prompts(0, 50, 0.5, 'train')]
  texts = []
  for side in SIDES:
    for item in world.comparisons(0, 50, side):
      for reply in (item.chosen, item.rejected):
        value = judge.utility(item.prompt, reply, side)
        texts.append(f'{reply} {value:.6f}')
      dialogues.append(item.prompt)
  for post in posts.ranked_posts(0, 50):
    texts.append(post['title'] + post['body'])
    for answer in post['answers']:
      texts.append(f'{answer["text"]} {answer["score"]} {answer["accepted"]}')
  texts += [turn.text for dialogue in dialogues for turn in dialogue.turns]
  digest = hashlib.sha256('\n'.join(texts).encode()).hexdigest()[:16]
  assert (constants.LAB_VERSION, digest) == (6, '306aa2a584773251')
