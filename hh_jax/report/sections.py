"""The sections of the page: pictures and tables from a run's results.

Each function returns a section without content where its numbers are missing;
the page then lists it as not available.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from hh_jax.report import figures, policy_figures, table
from hh_jax.report import run as run_lib
from hh_jax.report.style import Picture
from hh_jax.stats import elo as elo_lib

_NUM_SAMPLES = 10


@dataclasses.dataclass(frozen=True)
class Cell:
  """Text of a table cell; `below` marks what is worse than chance."""

  text: str
  is_number: bool = False
  mark: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
  """A captioned table."""

  caption: str
  header: Sequence[str]
  rows: Sequence[Sequence[Cell]]


@dataclasses.dataclass(frozen=True)
class Section:
  """A titled part of the page."""

  key: str
  title: str
  lead: str  # how to read it
  pictures: Sequence[Picture] = ()
  tables: Sequence[Table] = ()
  samples: Sequence[run_lib.Row] = ()
  needs: str = ''  # what would have to be there

  @property
  def is_available(self) -> bool:
    return bool(self.pictures or self.tables or self.samples)


def all_sections(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> list[Section]:
  """Every section, in the order of the page."""
  return [
    _training(run),
    _curves(run),
    _accuracy(run),
    _calibration(run),
    _frontier(run, frontier),
    _elo(run),
    _tension(run),
    _samples(run),
    _thresholds(run),
    _reproducibility(run),
  ]


def make_table(
  caption: str,
  rows: Sequence[run_lib.Row],
  columns: Sequence[str] | None = None,
  *,
  has_chance: bool = False,
) -> list[Table]:
  """Lays rows out; no rows make no table.

  Args:
    caption: What the table shows.
    rows: One mapping of column to value a row.
    columns: Order of the columns; by default as they first appear. Columns
      that hold nothing at all are left out.
    has_chance: Whether intervals are accuracies, so that those below 0.5 are
      marked.

  Returns:
    One table or none.
  """
  if columns is None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
  used = [c for c in columns if any(row.get(c) is not None for row in rows)]
  if not rows or not used:
    return []
  cells = [[_cell(row.get(c), has_chance) for c in used] for row in rows]
  return [Table(caption, [run_lib.label(c) for c in used], cells)]


def _cell(value: table.Value, has_chance: bool) -> Cell:
  found = run_lib.band(value)
  mark = 'below' if has_chance and found and found[2] < 0.5 else ''
  text = run_lib.label(value) if isinstance(value, str) else value
  return Cell(table.format_value(text), found is not None, mark)


def _present(*pictures: Picture | None) -> list[Picture]:
  return [picture for picture in pictures if picture is not None]


def _by_name(values: run_lib.Row, name: str) -> list[run_lib.Row]:
  """One row an entry; plain values get a column `value`."""
  return [
    {name: key, **(row if isinstance(row, Mapping) else {'value': row})}
    for key, row in values.items()
  ]


def _training(run: run_lib.Run) -> Section:
  stages = _by_name(run.mapping('stages'), 'stage')
  columns = ['stage', 'init', 'data', 'examples', 'tokens', 'steps']
  columns += ['learning_rate', 'seconds', 'result']
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
  return Section(
    'training',
    'What was trained on what',
    'Each stage, where its weights came from, and what it read. Preference '
    'models see every comparison once.',
    tables=[
      *make_table('Stages', stages, columns),
      *make_table('Data card', counts),
    ],
    needs='stages, data_card',
  )


def _curves(run: run_lib.Run) -> Section:
  return Section(
    'curves',
    'Learning curves',
    'Loss and accuracy of every stage on its own batches.',
    pictures=figures.learning_curves(run),
    needs='<stage>/metrics.jsonl',
  )


def _accuracy(run: run_lib.Run) -> Section:
  tranches = _by_name(run.mapping('pm_accuracy_by_tranche'), 'tranche')
  tranches = [
    {'accuracy' if key == 'value' else key: value for key, value in row.items()}
    for row in tranches
  ]
  turns = [
    {key: row.get(key) for key in ('side', 'turn', 'count', 'accuracy')}
    for row in run.rows('pm_accuracy_by_turn')
  ]
  return Section(
    'accuracy',
    'Preference model accuracy',
    'Share of held-out comparisons on which the reply scored higher is the '
    'one that was chosen. Bars are 95 % intervals over dialogues; the Bayes '
    'rate is what knowing the true utilities would give.',
    pictures=_present(
      figures.pm_accuracy(run), figures.pm_accuracy_by_turn(run)
    ),
    tables=[
      *make_table('Accuracy by tranche', tranches, has_chance=True),
      *make_table('Accuracy by turn', turns, has_chance=True),
    ],
    needs='pm_accuracy, pm_accuracy_by_turn',
  )


def _calibration(run: run_lib.Run) -> Section:
  errors = [
    {'model': name, 'expected calibration error': curve.get('ece')}
    for name, curve in run.mapping('calibration').items()
    if isinstance(curve, Mapping)
  ]
  return Section(
    'calibration',
    'Calibration',
    'A score gap Δ claims to be right with probability 1 / (1 + exp(−Δ)). '
    'Above the dotted line a model is under-confident, below over-confident.',
    pictures=_present(figures.calibration(run)),
    tables=make_table('Distance from the line', errors),
    needs='calibration',
  )


def _frontier(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> Section:
  columns = ['step', 'samples', 'kl', 'k1', 'k3', 'train_pm', 'held_out_pm']
  columns += ['gold_helpfulness', 'gold_harmlessness', 'response_length']
  columns += ['eot_rate', 'entropy']
  return Section(
    'frontier',
    'Reward against √KL',
    'How far the policy has moved from π0 and what that brought: under the '
    'PM it trains against, under one it has never met, and in truth. KL is '
    'summed over a reply and exact over the vocabulary; k1 and k3 are the '
    'sampled estimates.',
    pictures=_present(
      policy_figures.pm_frontier(frontier),
      policy_figures.gold_frontier(frontier),
    ),
    tables=[
      *make_table('Snapshots of the policy', run.rows('frontier'), columns),
      *make_table('Divergence at the end', _by_name(run.mapping('kl'), 'of')),
    ],
    needs='frontier',
  )


def _elo(run: run_lib.Run) -> Section:
  ratings: list[run_lib.Row] = [
    {
      'side': side,
      'policy': policy,
      'Elo above π0': value,
      'wins against π0': [float(elo_lib.win_fraction(x, 0.0)) for x in value],
    }
    for side, values in run.mapping('elo').items()
    for policy, value in run_lib.bands(run_lib.as_mapping(values)).items()
    if policy != 'pi0'
  ]
  wins = _by_name(run.mapping('win_rates'), 'match')
  return Section(
    'elo',
    'Elo',
    'Ratings that best explain every pairwise choice, with π0 at 0. 174 Elo '
    'are one unit of PM score, or 73 % wins.',
    pictures=_present(policy_figures.elo(run)),
    tables=[
      *make_table('Difference from π0', ratings),
      *make_table('Win rates', wins, has_chance=True),
    ],
    needs='elo',
  )


def _tension(run: run_lib.Run) -> Section:
  tables = make_table(
    'Accuracy of preference models on either side (marked: below chance)',
    _by_name(run.mapping('cross_accuracy'), 'model'),
    has_chance=True,
  )
  for key, caption in (
    ('gold', 'Scores by the gold judge'),
    ('pm_score', 'Scores by the preference model'),
  ):
    tables += make_table(caption, _by_name(run.mapping(key), 'side'))
  return Section(
    'tension',
    'Helpful against harmless',
    'A reply that refuses is harmless and no help. Preference models trained '
    'on one side fail on the other; a policy has to be good at both.',
    pictures=_present(policy_figures.tension(run)),
    tables=tables,
    needs='gold or pm_score, cross_accuracy',
  )


def _samples(run: run_lib.Run) -> Section:
  rows = [row for row in run.rows('samples') if row.get('after') is not None]
  return Section(
    'samples',
    'Replies before and after',
    f'The first {_NUM_SAMPLES} held-out prompts, not chosen by hand. Text by '
    'models; red-team prompts ask for harm.',
    samples=rows[:_NUM_SAMPLES],
    needs='samples',
  )


def _thresholds(run: run_lib.Run) -> Section:
  rows = [
    {
      'target': row.get('name'),
      'measured': row.get('value'),
      'wanted': row.get('target'),
      'met': '✓ met' if row.get('met') else '✗ missed',
    }
    for row in run.rows('thresholds')
  ]
  return Section(
    'targets',
    'Targets',
    'What the run was meant to reach, fixed beforehand.',
    tables=make_table('Targets', rows),
    needs='thresholds',
  )


def _reproducibility(run: run_lib.Run) -> Section:
  hashes = [
    {'stage': stage, 'state_sha256': value}
    for stage, value in run.mapping('state_sha256').items()
  ]
  versions = _by_name(run.mapping('versions'), 'package')
  config = run.workdir / 'config.json'
  fields: list[run_lib.Row] = []
  if config.is_file():
    values = json.loads(config.read_text(encoding='utf-8'))
    fields = [{'field': k, 'value': v} for k, v in _leaves(values)]
  return Section(
    'reproducibility',
    'Reproducing it',
    'The hash covers every array of a stage’s final state. The same command '
    'on the same hardware gives the same hashes.',
    tables=[
      *make_table('State of every stage', hashes),
      *make_table('Versions', versions),
      *make_table('Configuration', fields),
    ],
    needs='state_sha256, versions, config.json',
  )


def _leaves(
  values: table.Value, prefix: str = ''
) -> list[tuple[str, table.Value]]:
  if not isinstance(values, Mapping):
    return [(prefix, values)]
  return [
    leaf
    for key, value in values.items()
    for leaf in _leaves(value, f'{prefix}.{key}' if prefix else key)
  ]
