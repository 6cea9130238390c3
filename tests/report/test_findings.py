"""What the page says in words follows from intervals."""

import pathlib

from hh_jax.report import findings, policy_figures
from hh_jax.report import run as run_lib
from tests.report import fake_run


def _find(**values):
  run = run_lib.Run(pathlib.Path(), values, {})
  return findings.find(run, policy_figures.read_frontier(run))


def _texts(**values):
  return [finding.text for finding in _find(**values)]


def test_nothing_measured_nothing_said():
  assert _find() == []


def test_accuracy_is_placed_between_chance_and_bayes():
  (text,) = _texts(
    pm_accuracy={'helpful': [0.66, 0.70, 0.74]},
    bayes_accuracy={'helpful': [0.73, 0.75, 0.77]},
  )
  assert '70.0\N{NO-BREAK SPACE}% [66.0, 74.0]' in text
  assert '80 % of the way' in text
  (found,) = _find(pm_accuracy={'harmless': [0.48, 0.53, 0.58]})
  assert found.tone == findings.CAUTION
  assert 'chance is not excluded' in found.text


def test_a_baseline_inside_the_interval_is_not_beaten():
  texts = _texts(
    pm_accuracy={'helpful': [0.6, 0.65, 0.7], 'harmless': [0.6, 0.65, 0.7]},
    baselines={
      'longer_reply': {
        'helpful': [0.52, 0.57, 0.62],
        'harmless': [0.45, 0.5, 0.55],
        'all': [0.5, 0.53, 0.56],
      }
    },
  )
  assert 'It beats choosing the longer reply on harmless.' in texts
  assert any('not shown to beat' in t and 'on helpful.' in t for t in texts)


CLEAN = {
  'same_first_turn': 0.0,
  'near_duplicate': 0.002,
  'repeated': 0.1,
  'contradicted': 0.05,
  'wrong_where_certain': [0.1, 0.15, 0.2],
  'wrong_beyond_claim': [-0.05, 0.0, 0.05],
  'cut_accuracy': [0.6, 0.65, 0.7],
  'whole_accuracy': [0.66, 0.68, 0.7],
}


def test_clean_comparisons_are_not_worth_a_word():
  assert _find(data_checks=CLEAN) == []


def test_faults_of_the_comparisons_are_told():
  faults = {
    'same_first_turn': (0.2, 'have a first turn that training has'),
    'near_duplicate': (0.05, 'nearly occur in training'),
    'contradicted': (0.3, 'contradict each other'),
    'wrong_where_certain': ([0.25, 0.3, 0.35], 'most certain'),
    'wrong_beyond_claim': ([0.02, 0.05, 0.08], 'noisier'),
    'cut_accuracy': ([0.5, 0.55, 0.6], 'judged worse'),
  }
  for name, (value, said) in faults.items():
    (found,) = _find(data_checks={**CLEAN, name: value})
    assert said in found.text
    assert found.tone == findings.CAUTION


def test_over_optimisation_is_found_where_it_starts():
  texts = _texts(frontier=fake_run.frontier(over_optimised=True))
  (parting,) = [t for t in texts if 'part at' in t]
  assert '√KL 4.05; stop there' in parting
  assert any('Gold helpfulness peaks at √KL 3.15' in t for t in texts)
  assert any('0.31 [0.31, 0.31] per √nat' in t for t in texts)


def test_agreeing_preference_models_are_not_said_to_part():
  found = _find(frontier=fake_run.frontier(over_optimised=False))
  (parting,) = [f for f in found if 'part' in f.text and 'held-out' in f.text]
  assert parting.tone == findings.GOOD
  assert 'not shown to part' in parting.text
  assert any('Gold helpfulness rises' in f.text for f in found)


def test_without_intervals_no_parting_is_claimed():
  rows = fake_run.frontier(over_optimised=True)
  for row in rows:
    row['gain'] = {key: band[1] for key, band in row['gain'].items()}
  assert any('not shown to part' in t for t in _texts(frontier=rows))


def test_a_gain_has_the_uncertainty_of_its_start():
  rows = fake_run.frontier(over_optimised=False)
  rows[-1]['gain'] |= {'train_pm': [-0.2, 1.6, 3.4]}
  rows[-1]['gain'] |= {'gold_harmlessness': [-0.1, 0.46, 1.0]}
  found = _find(frontier=rows)
  (moved,) = [f for f in found if f.text.startswith('RLHF moved')]
  assert moved.tone == findings.CAUTION
  assert '+1.60 [-0.20, +3.40]' in moved.text
  assert any('harmlessness is not shown to change' in f.text for f in found)
  for row in rows:
    del row['gain']
  assert _find(frontier=rows) == []


def frontier_of(key, first, last, gain):
  return [
    {'kl': 0.0, key: first, 'gain': {key: [0, 0, 0]}},
    {'kl': 4.0, key: last, 'gain': {key: gain}},
  ]


def test_what_became_of_replies_is_told_where_it_is_shown():
  for key, said, bad in (
    ('refusal_rate_helpful', 'Refusal of helpful requests', True),
    ('refusal_rate_harmless', 'Refusal of red-team requests', False),
    ('repetition', 'Repetition within replies', True),
    ('eot_rate', 'The share of replies that end', False),
  ):
    low, high = [0.1, 0.12, 0.14], [0.3, 0.32, 0.34]
    (more,) = _find(frontier=frontier_of(key, low, high, [0.1, 0.2, 0.3]))
    (less,) = _find(frontier=frontier_of(key, high, low, [-0.3, -0.2, -0.1]))
    assert more.text.startswith(f'{said} rises from 12.0')
    assert less.text.startswith(f'{said} falls from 32.0')
    tones = (findings.CAUTION, findings.GOOD)
    assert (more.tone, less.tone) == (tones if bad else tones[::-1])
    assert not _find(frontier=frontier_of(key, low, high, [-0.1, 0.2, 0.5]))
  rows = frontier_of(
    'response_length', [20, 21, 22], [40, 41, 42], [18, 20, 22]
  )
  (found,) = _find(frontier=rows)
  assert found.tone == findings.NEUTRAL
  assert 'rises from 21.0 [20.0, 22.0] to 41.0' in found.text


def test_the_updates_of_ppo_are_judged():
  steps = fake_run.rlhf_metrics()
  run = run_lib.Run(pathlib.Path(), {}, {'rlhf': steps})
  ratio, values = findings.find(run, None)
  assert ratio.tone == findings.GOOD and 'ratio stays within' in ratio.text
  late = [row['rollout/value_explained'] for row in steps[-20:]]
  assert f'explain {100 * sum(late) / 20:.1f}' in values.text
  steps[7]['ppo/first_ratio'] = 1.02
  for row in steps:
    row['rollout/value_explained'] = -0.1
  ratio, values = findings.find(run, None)
  assert ratio.tone == values.tone == findings.CAUTION
  assert 'within 0.020 of 1' in ratio.text and 'disagree' in ratio.text


def test_alarms_of_rlhf_are_told():
  alarm = {'step': 12, 'name': 'KL', 'message': 'KL: it is 80; look at it'}
  (found,) = _find(alarms=[alarm])
  assert found.tone == findings.CAUTION
  assert found.text == 'RLHF, iteration 12: KL: it is 80; look at it.'


def test_elo_claims_need_disjoint_intervals():
  above = {'rlhf': [200, 230, 260], 'best_of_16': [120, 150, 180]}
  near = {'rlhf': [140, 170, 200], 'best_of_16': [120, 150, 180]}
  assert 'RLHF is above it' in _texts(elo={'overall': above})[0]
  assert 'intervals overlap' in _texts(elo={'overall': near})[0]
  (found,) = _find(elo={'overall': {'rlhf': [-20, 10, 40]}})
  assert found.tone == findings.CAUTION
  assert 'no difference is shown' in found.text


def test_confidence_is_read_off_the_bins():
  curve = {
    'gap': [1.0, 2.0],
    'accuracy': [[0.8, 0.85, 0.9], [0.93, 0.95, 0.97]],
    'ece': [0.05, 0.08, 0.1],
  }
  (text,) = _texts(calibration={'mixture': curve})
  assert 'under-confident in 2 bins' in text


def test_missed_targets_are_named():
  rows = [{'name': 'a', 'met': True}, {'name': 'b', 'met': False}]
  (found,) = _find(thresholds=rows)
  assert found.text == '1 of 2 targets are met; missed: b.'
  assert found.tone == findings.CAUTION
