"""The sections of the page: pictures and tables from a run's results.

Each function returns a section without content where its numbers are missing;
the page then lists it as not available.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from hh_jax.report import (
  figures,
  layout,
  policy_figures,
  rlhf_figures,
  table,
)
from hh_jax.report import run as run_lib
from hh_jax.stats import elo as elo_lib

_NUM_SAMPLES = 10


def all_sections(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> list[layout.Section]:
  """Every section, in the order of the page."""
  return [
    _training(run),
    _curves(run),
    _accuracy(run),
    _calibration(run),
    _frontier(run, frontier),
    _course(run),
    _shown(run),
    _elo(run),
    _tension(run),
    _samples(run),
    _thresholds(run),
    _reproducibility(run),
  ]


def _training(run: run_lib.Run) -> layout.Section:
  stages = layout.by_name(run.mapping('stages'), 'stage')
  stages = [
    {**row, 'learning_rate': f'{row["learning_rate"]} × pretraining'}
    if row.get('is_multiple') and row.get('learning_rate') is not None
    else row
    for row in stages
  ]
  columns = [
    'stage',
    'init',
    'data',
    'examples',
    'tokens',
    'loss_terms',
    'steps',
  ]
  columns += ['learning_rate', 'seconds', 'result']
  effect = layout.by_name(run.mapping('prompt_effect'), 'side')
  card = run.mapping('data_card')
  counts = [
    {'comparisons': key, 'count': card.get(key)}
    for key in ('read', 'kept')
    if card.get(key) is not None
  ]
  rejected = card.get('rejected')
  if isinstance(rejected, Mapping):
    counts += [
      {'comparisons': f'rejected: {reason}', 'count': count}
      for reason, count in rejected.items()
    ]
  elif rejected is not None:
    counts.append({'comparisons': 'rejected', 'count': rejected})
  return layout.Section(
    'training',
    'What was trained on what',
    'Each stage, where its weights came from, and what it read. Preference '
    'models see every comparison once.',
    tables=[
      *layout.make_table('Stages', stages, columns),
      *layout.make_table('Data card', counts),
      *layout.make_table('Gold score gained over the plain model', effect),
    ],
    needs='stages, data_card',
  )


def _curves(run: run_lib.Run) -> layout.Section:
  return layout.Section(
    'curves',
    'Learning curves',
    'Loss and accuracy of every stage on its own batches.',
    pictures=figures.learning_curves(run),
    needs='<stage>/metrics.jsonl',
  )


def _accuracy(run: run_lib.Run) -> layout.Section:
  tranches = layout.by_name(run.mapping('pm_accuracy_by_tranche'), 'tranche')
  tranches = [
    {'accuracy' if key == 'value' else key: value for key, value in row.items()}
    for row in tranches
  ]
  turns = [
    {key: row.get(key) for key in ('side', 'turn', 'count', 'accuracy')}
    for row in run.rows('pm_accuracy_by_turn')
  ]
  return layout.Section(
    'accuracy',
    'Preference model accuracy',
    'Share of held-out comparisons on which the reply scored higher is the '
    'one that was chosen. Bars are 95 % intervals over dialogues; the Bayes '
    'rate is what knowing the true utilities would give.',
    pictures=layout.present(
      figures.pm_accuracy(run), figures.pm_accuracy_by_turn(run)
    ),
    tables=[
      *layout.make_table('Accuracy by tranche', tranches, has_chance=True),
      *layout.make_table('Accuracy by turn', turns, has_chance=True),
      *layout.make_table(
        'Checks of the comparisons',
        layout.by_name(run.mapping('data_checks'), 'check'),
      ),
    ],
    needs='pm_accuracy, pm_accuracy_by_turn',
  )


def _calibration(run: run_lib.Run) -> layout.Section:
  errors = [
    {'model': name, 'expected calibration error': curve.get('ece')}
    for name, curve in run.mapping('calibration').items()
    if isinstance(curve, Mapping)
  ]
  return layout.Section(
    'calibration',
    'Calibration',
    'A score gap Δ claims to be right with probability 1 / (1 + exp(−Δ)). '
    'Above the dotted line a model is under-confident, below over-confident.',
    pictures=figures.calibration(run),
    tables=layout.make_table('Distance from the line', errors),
    needs='calibration',
  )


def _frontier(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> layout.Section:
  divergence = [
    {'estimate': 'exact' if name == 'kl' else name, 'nats a reply': value}
    for name, value in run.mapping('kl').items()
  ]
  rejection: list[run_lib.Row] = [
    {'quantity': words, 'value': run.mapping('rejection').get(key)}
    for key, words in (
      ('gain', 'PM score above the mean sample'),
      ('kl_bound', 'bound on KL from π0, nats'),
    )
    if run.mapping('rejection').get(key) is not None
  ]
  columns = ['step', 'samples', 'kl', 'k1', 'k3', 'train_pm', 'held_out_pm']
  columns += ['train_pm_helpful', 'train_pm_harmless', 'gold_helpfulness']
  columns += ['gold_harmlessness', 'response_length', 'eot_rate', 'entropy']
  columns += ['repetition', 'refusal_rate_helpful', 'refusal_rate_harmless']
  return layout.Section(
    'frontier',
    'Reward against √KL',
    'How far the policy has moved from π0 and what that brought: under the '
    'PM it trains against, under one it has never met, and in truth. PM scores '
    'are gains since the first snapshot. KL is summed over a reply and exact '
    'over the vocabulary; k1 and k3 are the sampled estimates.',
    pictures=layout.present(
      policy_figures.pm_frontier(frontier),
      policy_figures.gold_frontier(frontier),
    ),
    tables=[
      *layout.make_table(
        'Snapshots of the policy',
        [_with_gains(row) for row in run.rows('frontier')],
        columns,
      ),
      *layout.make_table('Divergence at the end', divergence),
      *layout.make_table('Best of k by PM score', rejection),
    ],
    needs='frontier',
  )


def _with_gains(snapshot: run_lib.Row) -> run_lib.Row:
  """A snapshot in which PM scores are gains: their zero means nothing."""
  gains = run_lib.as_mapping(snapshot.get('gain'))
  return {**snapshot, **{k: v for k, v in gains.items() if '_pm' in k}}


def _course(run: run_lib.Run) -> layout.Section:
  counts = [
    {'prompts': run_lib.label(key), 'count': value}
    for key, value in run.mapping('prompts').items()
  ]
  ends = [
    {'at the end': run_lib.label(key), 'value': value}
    for key, value in run.mapping('end').items()
  ]
  return layout.Section(
    'course',
    'RLHF in training',
    'What replies to held-out prompts became, and what the updates did. The '
    'first minibatch has not been trained on yet: its ratio is 1 where sampler '
    'and trainer agree.',
    pictures=rlhf_figures.course(run),
    tables=[
      *layout.make_table('Prompts trained on', counts),
      *layout.make_table('At the end of training', ends),
    ],
    needs='frontier, rlhf/metrics.jsonl',
  )


def _shown(run: run_lib.Run) -> layout.Section:
  return layout.Section(
    'shown',
    'The same prompts along training',
    'Of 17 replies to each prompt the one with the median PM score that is not '
    'empty, as in the paper. All replies are by models; red-team prompts ask '
    'for harm.',
    pictures=layout.present(rlhf_figures.shown_scores(run)),
    samples=[layout.read_course(row) for row in run.rows('shown')],
    needs='shown',
  )


def _elo(run: run_lib.Run) -> layout.Section:
  ratings: list[run_lib.Row] = [
    {
      'side': side,
      'policy': policy,
      'Elo above π0': [round(x) for x in value],
      'wins against π0': [float(elo_lib.win_fraction(x, 0.0)) for x in value],
    }
    for side, values in run.mapping('elo').items()
    for policy, value in run_lib.bands(run_lib.as_mapping(values)).items()
    if policy != 'pi0'
  ]
  wins = layout.by_name(run.mapping('win_rates'), 'match')
  games = [
    {'games': run_lib.label(key), 'count': value}
    for key, value in run.mapping('games').items()
  ]
  return layout.Section(
    'elo',
    'Elo',
    'Ratings that best explain every pairwise choice, with π0 at 0. 174 Elo '
    'are one unit of PM score, or 73 % wins.',
    pictures=layout.present(policy_figures.elo(run)),
    tables=[
      *layout.make_table('Difference from π0', ratings),
      *layout.make_table('Win rates of the first over the second', wins),
      *layout.make_table('Games', games),
    ],
    needs='elo',
  )


def _tension(run: run_lib.Run) -> layout.Section:
  tables = layout.make_table(
    'Accuracy of preference models on either side (marked: below chance)',
    layout.by_name(run.mapping('cross_accuracy'), 'model'),
    has_chance=True,
  )
  tables += layout.make_table(
    'Scores by the gold judge', layout.by_name(run.mapping('gold'), 'side')
  )
  tables += layout.make_table(
    'Gains over π0 by preference models, prompt by prompt',
    policy_figures.pm_gain_rows(run),
  )
  return layout.Section(
    'tension',
    'Helpful against harmless',
    'A reply that refuses is harmless and no help. Preference models trained '
    'on one side fail on the other; a policy has to be good at both.',
    pictures=layout.present(policy_figures.tension(run)),
    tables=tables,
    needs='gold or pm_gain, cross_accuracy',
  )


def _samples(run: run_lib.Run) -> layout.Section:
  rows = [row for row in run.rows('samples') if row.get('after') is not None]
  return layout.Section(
    'samples',
    'Replies before and after',
    'Held-out prompts, not chosen by hand. All replies are by models; '
    'red-team prompts ask for harm.',
    samples=[layout.read_sample(row) for row in rows[:_NUM_SAMPLES]],
    needs='samples',
  )


def _thresholds(run: run_lib.Run) -> layout.Section:
  rows = [
    {
      'target': row.get('name'),
      'measured': row.get('value'),
      'wanted': row.get('target'),
      'met': _verdict(row.get('met')),
    }
    for row in run.rows('thresholds')
  ]
  return layout.Section(
    'targets',
    'Targets',
    'What the run was meant to reach, fixed beforehand.',
    tables=layout.make_table('Targets', rows),
    needs='thresholds',
  )


def _verdict(met: table.Value) -> table.Value:
  if isinstance(met, bool):
    return '✓ met' if met else '✗ missed'
  return met  # not shown


def _reproducibility(run: run_lib.Run) -> layout.Section:
  hashes = layout.by_name(run.mapping('state_sha256'), 'stage')
  versions = layout.by_name(run.mapping('versions'), 'package')
  config = run.workdir / 'config.json'
  fields: list[run_lib.Row] = []
  if config.is_file():
    values = run_lib.as_mapping(json.loads(config.read_text(encoding='utf-8')))
    fields = [{'field': k, 'value': v} for k, v in table.leaves(values)]
  return layout.Section(
    'reproducibility',
    'Reproducing it',
    'The hash covers every array of a stage’s final state. The same command '
    'on the same hardware gives the same hashes.',
    tables=[
      *layout.make_table('State of every stage', hashes, is_verbatim=True),
      *layout.make_table('Versions', versions, is_verbatim=True),
      *layout.make_table('Configuration', fields, is_verbatim=True),
    ],
    needs='state_sha256, versions, config.json',
  )
