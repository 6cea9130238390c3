"""From choices to the rows that training reads, and why some are left out.

1. The reply picked in red-team work is the more harmful one: there `chosen` is
   the other one. An edit is a comparison of its own, better than its original.
2. The two weakest steps are dropped. What else is left out is counted under
   one of `REASONS`, so that what was chosen is what is exported and the rest.
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


def _reason(exchange: Exchange, known: Facts) -> str | None:
  if exchange.replies is None:
    raise ValueError(f'turn {exchange.turn_id} has a choice but no replies')
  first, second = (reply.text for reply in exchange.replies)
  conversation = exchange.conversation_id
  faults = (
    exchange.step in schema.WEAK_STEPS,
    known.conversations[conversation]['kind'] == 'skipped',
    exchange.turn_id in known.reported,
    conversation in known.refused,
    not first or not second,
    first == second,
  )
  return next((name for name, is_so in zip(REASONS, faults) if is_so), None)


def _rows_of(
  exchange: Exchange,
  prompt: Dialogue,
  known: Facts,
  test_fraction: float,
) -> list[Row]:
  """The comparison of a turn, and that of its edit."""
  about = known.conversations[exchange.conversation_id]
  side = SIDES[about['task']]
  split = tranche_files.split_of(prompt, test_fraction)
  picked = exchange.picked
  better = picked if side == 'helpful' else 1 - picked
  texts = [reply.text for reply in exchange.replies or ()]
  common = {
    'conversation': exchange.conversation_id,
    'turn': exchange.number,
    'worker': about['pseudonym'],
    'rating': about['rating'],
    'seconds': exchange.seconds,
    'asked_at': exchange.created_at,
    'chosen_at': exchange.chosen_at,
    'seed': exchange.seed,
  }
  models = [known.snapshots[snapshot] for snapshot in exchange.snapshots]
  found = [
    Row(
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
  ]
  if exchange.edit is not None:
    found.append(
      Row(
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
    )
  return found


def rows(
  connection: sa.Connection, test_fraction: float
) -> tuple[list[Row], dict[str, int]]:
  """Returns what is exported, in the order of conversations, and the counts.

  `chosen` = `exported_choices` + the sum over REASONS.
  """
  known = read_facts(connection)
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
      counts['chosen'] += 1
      reason = _reason(exchange, known)
      if reason is not None:
        counts[reason] += 1
        continue
      prompt = exchanges.prompt_of(said[:place], exchange.text)
      made = _rows_of(exchange, prompt, known, test_fraction)
      counts['exported_choices'] += 1
      counts['exported_edits'] += len(made) - 1
      found += made
  names = ('chosen', 'exported_choices', 'exported_edits', 'without_choice')
  return found, {name: counts[name] for name in (*names, *REASONS)}
