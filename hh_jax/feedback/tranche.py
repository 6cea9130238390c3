"""From choices to the rows that training reads, and why some are left out.

1. The reply picked in red-team work is the more harmful one: there `chosen` is
   the other one. An edit is a comparison of its own, better than its original.
2. The two weakest steps are dropped. What else is left out is counted under
   one of `REASONS`, so that what was chosen is what is exported and the rest.
   An edit is judged apart from the choice that it came with.
3. A conversation is in the test part by the hash of its first human turn, the
   rule by which every stage holds out.

Reference: Bai et al. 2022, sections 2.2-2.3 and D.2.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping

import sqlalchemy as sa

from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import exchanges, facts, people, schema
from hh_jax.feedback.exchanges import Exchange
from hh_jax.stages import tranche_files
from hh_jax.stages.tranche_files import Row

SIDES = {'helpful': 'helpful', 'red_team': 'harmless'}

# Why a choice is not exported, in the order in which the reasons are tried.
REASONS = (
  'weak_step',  # one of the two weakest steps
  'skipped',  # its conversation was skipped by the worker
  'reported',  # a reply of it was reported
  'refused_work',  # a researcher marked its conversation as not to be used
  'empty_response',  # a reply is empty or blank
  'identical_pair',  # both replies are the same text
)
# Why an edit is not; then its own comparison would be no better.
EDIT_REASONS = ('skipped', 'reported', 'refused_work', 'empty_response')

_COUNTS = (
  *('chosen', 'exported_choices', 'without_choice', *REASONS),
  *('edits', 'exported_edits', *(f'edit_{name}' for name in EDIT_REASONS)),
)


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known about conversations and models, by id."""

  conversations: Mapping[int, facts.Row]
  snapshots: Mapping[int, str]  # fingerprints
  specs: Mapping[str, Mapping[str, object]]  # name and spec by fingerprint
  reported: frozenset[int]  # turns
  refused: frozenset[int]  # conversations


def read_facts(connection: sa.Connection) -> Facts:
  """Returns what the rows of an export refer to."""
  table = schema.conversations
  query = (
    sa.select(
      table.c.id,
      schema.invites.c.task,
      schema.workers.c.pseudonym,
      schema.endings.c.kind,
      schema.endings.c.rating,
    )
    .join_from(table, schema.invites)
    .join(schema.workers)
    .outerjoin(schema.endings)
  )
  rows = facts.fetch(connection, query)
  snapshots = connection.execute(sa.select(schema.snapshots)).all()
  checks = people.all_latest(connection, 'check')
  reported = connection.execute(sa.select(schema.reports.c.turn_id)).scalars()
  return Facts(
    {row['id']: row for row in rows},
    {row.id: row.fingerprint for row in snapshots},
    {
      row.fingerprint: {'name': row.name, **json.loads(row.spec)}
      for row in snapshots
    },
    frozenset(reported),
    frozenset(key for key, value in checks.items() if value == 'refused'),
  )


def _first_fault(faults: Mapping[str, bool]) -> str | None:
  return next((name for name, is_so in faults.items() if is_so), None)


def _reasons(exchange: Exchange, known: Facts) -> tuple[str | None, str | None]:
  """Why the choice of a turn is left out, and why its edit is; None: it stays.

  The one may stay without the other: who finds both replies about as bad says
  so by a weak step, and writes a better one.
  """
  if exchange.replies is None:
    raise ValueError(f'turn {exchange.turn_id} has a choice but no replies')
  first, second = texts = [reply.text for reply in exchange.replies]
  conversation = exchange.conversation_id
  common = {
    'skipped': known.conversations[conversation]['kind'] == 'skipped',
    'reported': exchange.turn_id in known.reported,
    'refused_work': conversation in known.refused,
  }
  choice = {
    'weak_step': exchange.step in schema.WEAK_STEPS,
    **common,
    'empty_response': not first or not second,
    'identical_pair': first == second,
  }
  edit = {**common, 'empty_response': not texts[exchange.picked]}
  return _first_fault(choice), _first_fault(edit)


def _common(exchange: Exchange, about: facts.Row) -> dict[str, object]:
  """What the sidecar says of a choice and of an edit."""
  return {
    'conversation': exchange.conversation_id,
    'turn': exchange.number,
    'worker': about['pseudonym'],
    'rating': about['rating'],
    'seconds': exchange.seconds,
    'asked_at': exchange.created_at,
    'chosen_at': exchange.chosen_at,
    'seed': exchange.seed,
  }


def _rows_of(
  exchange: Exchange, prompt: Dialogue, known: Facts, test_fraction: float
) -> tuple[Row, Row | None]:
  """The comparison of a turn, and that of its edit if it has one."""
  about = known.conversations[exchange.conversation_id]
  side = SIDES[about['task']]
  split = tranche_files.split_of(prompt, test_fraction)
  picked = exchange.picked
  better = picked if side == 'helpful' else 1 - picked
  texts = [reply.text for reply in exchange.replies or ()]
  common = _common(exchange, about)
  models = [known.snapshots[snapshot] for snapshot in exchange.snapshots]
  choice = Row(
    side,
    split,
    tranche_files.pair(prompt, texts[better], texts[1 - better]),
    {
      **common,
      'kind': 'choice',
      'step': exchange.step,
      'strength': tranche_files.strength_of(exchange.step),
      'chosen_slot': schema.SLOTS[better],
      'chosen_model': models[better],
      'rejected_model': models[1 - better],
    },
  )
  if exchange.edit is None:
    return choice, None
  return choice, Row(
    side,
    split,
    tranche_files.pair(prompt, exchange.edit, texts[picked]),
    {
      **common,
      'kind': 'edit',
      'chosen_model': None,
      'rejected_model': models[picked],
    },
  )


def rows(
  connection: sa.Connection, known: Facts, test_fraction: float
) -> tuple[list[Row], dict[str, int]]:
  """Returns what is exported, in the order of conversations, and the counts.

  `chosen` = `exported_choices` + the sum over REASONS, and `edits` =
  `exported_edits` + the sum over EDIT_REASONS, each as `edit_REASON`.
  """
  by_conversation: dict[int, list[Exchange]] = collections.defaultdict(list)
  for exchange in exchanges.read(connection):
    by_conversation[exchange.conversation_id].append(exchange)
  found: list[Row] = []
  counts: collections.Counter[str] = collections.Counter()
  for said in by_conversation.values():
    for place, exchange in enumerate(said):
      if exchange.step is None:
        counts['without_choice'] += 1
        continue
      prompt = exchanges.prompt_of(said[:place], exchange.text)
      choice, edit = _rows_of(exchange, prompt, known, test_fraction)
      no_choice, no_edit = _reasons(exchange, known)
      counts['chosen'] += 1
      counts[no_choice or 'exported_choices'] += 1
      if no_choice is None:
        found.append(choice)
      if edit is not None:
        counts['edits'] += 1
        counts[f'edit_{no_edit}' if no_edit else 'exported_edits'] += 1
        if no_edit is None:
          found.append(edit)
  return found, {name: counts[name] for name in _COUNTS}
