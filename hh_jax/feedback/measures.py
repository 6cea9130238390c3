"""What researchers look at while comparisons come in.

1. What was reported, skipped or refused counts in totals alone (`usable`).
2. A game is a choice between two snapshots; in red-team work the reply that was
   not picked, the less harmful one, has won it. A choice of the two weakest
   steps, or of a snapshot against itself, is no game.
3. Win rates and Elo with intervals follow from the games, resampled by
   conversation.
4. Agreement is Krippendorff's α over comparisons that a second worker looked
   at, on the sides (nominal) and on the eight steps (ordinal).

Reference: Bai et al. 2022, sections 2.4.1, 3.4.1 and B.5.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
import warnings
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from hh_jax.feedback import exchanges, schema
from hh_jax.feedback.usable import is_usable
from hh_jax.stats import agreement, bootstrap, elo

HOUR = 3600.0
_RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Choice:
  """One comparison without its texts."""

  turn_id: int
  conversation_id: int
  worker_id: int
  task: str
  snapshots: tuple[int, int]
  step: int
  seconds: float
  chosen_at: float

  @property
  def is_weak(self) -> bool:
    return self.step in schema.WEAK_STEPS

  @property
  def winner(self) -> int:
    """Side that is better: 0 for A, 1 for B."""
    picked = exchanges.picked_by(self.step)
    return 1 - picked if self.task == 'red_team' else picked


def choices(connection: sa.Connection) -> list[Choice]:
  """Returns all comparisons that are used, in the order they were made."""
  query = (
    sa.select(
      schema.choices.c.turn_id,
      schema.turns.c.conversation_id,
      schema.invites.c.worker_id,
      schema.invites.c.task,
      schema.attempts.c.snapshot_a,
      schema.attempts.c.snapshot_b,
      schema.choices.c.step,
      schema.choices.c.seconds,
      schema.choices.c.created_at,
    )
    .join_from(schema.choices, schema.attempts)
    .join(schema.turns, schema.turns.c.id == schema.choices.c.turn_id)
    .join(schema.conversations)
    .join(schema.invites)
    .where(is_usable())
    .order_by(schema.choices.c.created_at, schema.choices.c.turn_id)
  )
  return [
    Choice(turn, conversation, worker, task, (first, second), *rest)
    for turn, conversation, worker, task, first, second, *rest in (
      connection.execute(query)
    )
  ]


@dataclasses.dataclass(frozen=True)
class League:
  """Snapshots against each other on one task."""

  names: tuple[str, ...]
  wins: np.ndarray  # [M, M] games the row won over the column
  ratings: np.ndarray  # [M, 3] Elo `low, mid, high`; the first is 0
  num_games: int
  num_regularised: int  # resamples in which somebody never lost


def league(
  found: Sequence[Choice], task: str, names: dict[int, str]
) -> League | None:
  """Returns win counts and Elo of a task, or None while nobody has met.

  Args:
    found: All comparisons.
    task: Which of them count.
    names: Of the snapshots, the anchor first.
  """
  games = [
    choice
    for choice in found
    if choice.task == task
    and not choice.is_weak
    and choice.snapshots[0] != choice.snapshots[1]
  ]
  if not games:
    return None
  met = {snapshot for game in games for snapshot in game.snapshots}
  players = [snapshot for snapshot in names if snapshot in met]
  place = {snapshot: index for index, snapshot in enumerate(players)}
  first, second = zip(*(game.snapshots for game in games))
  table = elo.Games(
    np.asarray([place[snapshot] for snapshot in first]),
    np.asarray([place[snapshot] for snapshot in second]),
    np.asarray([game.winner == 0 for game in games]),
    len(players),
  )
  clusters = np.asarray([game.conversation_id for game in games])
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # told by num_regularised
    intervals = elo.bootstrap_elo(table, clusters, 0, _RESAMPLES)
  return League(
    tuple(names[snapshot] for snapshot in players),
    elo.win_matrix(table),
    intervals.ratings,
    len(games),
    intervals.num_regularised,
  )


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How far workers agree on comparisons that two of them saw."""

  num_items: int
  same_side: np.ndarray  # [3] share of second looks, `low, mid, high`
  alpha_side: float  # Krippendorff's, nominal
  alpha_step: float  # ordinal


def agreement_of(
  connection: sa.Connection, found: Sequence[Choice]
) -> Agreement | None:
  """Returns agreement over second looks, or None while there are none."""
  by_turn = {choice.turn_id: choice for choice in found}
  looks = [look for look in _looks(connection) if look[0] in by_turn]
  workers = sorted(
    {worker for _, worker, _ in looks}
    | {by_turn[turn].worker_id for turn, _, _ in looks}
  )
  turns = sorted({turn for turn, _, _ in looks})
  if not turns:
    return None
  row = {worker: index for index, worker in enumerate(workers)}
  column = {turn: index for index, turn in enumerate(turns)}
  steps = np.full((len(workers), len(turns)), np.nan)
  for turn, worker, step in looks:
    steps[row[worker], column[turn]] = step
  for turn in turns:
    steps[row[by_turn[turn].worker_id], column[turn]] = by_turn[turn].step
  sides = np.where(np.isnan(steps), np.nan, steps > schema.NUM_STEPS / 2)
  same = [
    exchanges.picked_by(step) == exchanges.picked_by(by_turn[turn].step)
    for turn, _, step in looks
  ]
  return Agreement(
    len(turns),
    bootstrap.mean_interval(
      np.asarray(same, np.float64), np.asarray([turn for turn, _, _ in looks])
    ),
    agreement.krippendorff_alpha(sides),
    agreement.krippendorff_alpha(steps, agreement.ordinal_distance),
  )


def _looks(connection: sa.Connection) -> list[tuple[int, int, int]]:
  """Turn, worker and step, on the sides of the first choice, of each look."""
  query = (
    sa.select(
      schema.reviews.c.turn_id,
      schema.invites.c.worker_id,
      schema.verdicts.c.step,
      schema.reviews.c.is_swapped,
    )
    .join_from(schema.verdicts, schema.reviews)
    .join(schema.invites)
    .where(schema.verdicts.c.step.is_not(None))
    .order_by(schema.reviews.c.id)
  )
  return [
    (turn, worker, schema.NUM_STEPS + 1 - step if is_swapped else step)
    for turn, worker, step, is_swapped in connection.execute(query)
  ]


def per_hour(
  found: Sequence[Choice], hours: int, now: float | None = None
) -> dict[str, list[int]]:
  """Returns comparisons of each task in each of the last hours, oldest first.

  The last bin is the hour that runs.
  """
  now = time.time() if now is None else now
  last = int(now // HOUR)
  bins = {task: [0] * hours for task in ('helpful', 'red_team')}
  for choice in found:
    place = int(choice.chosen_at // HOUR) - last + hours - 1
    if 0 <= place < hours:
      bins[choice.task][place] += 1
  return bins


def steps(found: Sequence[Choice], task: str) -> list[int]:
  """Returns how often each step was chosen."""
  counts = collections.Counter(c.step for c in found if c.task == task)
  return [counts[step] for step in range(1, schema.NUM_STEPS + 1)]


@dataclasses.dataclass(frozen=True)
class WorkerRow:
  """What one worker did."""

  worker_id: int
  num_choices: int
  median_seconds: float
  weak_share: float  # of choices on the two weakest steps
  first_share: float  # of choices for A; 0.5 is expected
  last_at: float


def by_worker(found: Sequence[Choice]) -> dict[int, WorkerRow]:
  """Returns a row for every worker who chose anything."""
  own: dict[int, list[Choice]] = collections.defaultdict(list)
  for choice in found:
    own[choice.worker_id].append(choice)
  return {
    worker: WorkerRow(
      worker,
      len(made),
      statistics.median(choice.seconds for choice in made),
      sum(choice.is_weak for choice in made) / len(made),
      sum(exchanges.picked_by(c.step) == 0 for c in made) / len(made),
      max(choice.chosen_at for choice in made),
    )
    for worker, made in own.items()
  }


@dataclasses.dataclass(frozen=True)
class Counts:
  """How much of everything there is."""

  workers: int
  active: int  # workers who chose in the last quarter of an hour
  conversations: int
  finished: int
  skipped: int
  comparisons: int
  kept: int  # of them, used and stronger than the weakest step
  reports: int
  failures: int  # attempts that no model answered


def counts(
  connection: sa.Connection, found: Sequence[Choice], now: float | None = None
) -> Counts:
  """Returns the totals."""
  now = time.time() if now is None else now

  def number(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return connection.execute(query).scalar_one()

  kind = schema.endings.c.kind
  recent = {c.worker_id for c in found if c.chosen_at > now - HOUR / 4}
  return Counts(
    workers=number(schema.workers),
    active=len(recent),
    conversations=number(schema.conversations),
    finished=number(schema.endings, kind == 'finished'),
    skipped=number(schema.endings, kind == 'skipped'),
    comparisons=number(schema.choices),
    kept=sum(not choice.is_weak for choice in found),
    reports=number(schema.reports),
    failures=number(schema.failures),
  )
