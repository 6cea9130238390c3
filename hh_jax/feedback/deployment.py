"""Which models answer, and which two of them answer a turn.

1. Every policy a server is started with is a snapshot in the database: its
   name and all that makes its replies again, under a fingerprint.
2. For each turn two snapshots are drawn by their shares, independently, so that
   one may meet itself, as in the paper. Which is A is part of the draw.
3. A researcher's latest decision about a share, or about a pause, counts over
   what the server was started with.

Reference: Bai et al. 2022, sections 2.1, 2.3 and 4.5 (several at once).
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from hh_jax.feedback import facts, people, schema
from hh_jax.feedback.policies.protocol import Policy
from hh_jax.feedback.refusals import RefusedError
from hh_jax.stages import tranche_files


@dataclasses.dataclass(frozen=True)
class Deployed:
  """A snapshot that this server can ask."""

  snapshot_id: int
  name: str
  share: float  # as the server was started with
  policy: Policy


def register(
  connection: sa.Connection, policies: Sequence[Policy]
) -> dict[int, Deployed]:
  """Keeps the snapshots that a server is started with; returns them by id.

  Raises:
    ValueError: Two have one name, now or since an earlier start.
  """
  deployed = {}
  names = [policy.name for policy in policies]
  for policy in policies:
    if names.count(policy.name) > 1:
      raise ValueError(
        f'two policies are called {policy.name!r}; give one of them name=...'
      )
    table = schema.snapshots
    row = connection.execute(
      sa.select(table.c.id, table.c.fingerprint).where(
        table.c.name == policy.name
      )
    ).first()
    found = tranche_files.model_id(policy.spec)
    if row is not None and row.fingerprint != found:
      raise ValueError(
        f'the database knows another model as {policy.name!r} (fingerprint '
        f'{row.fingerprint[:12]}, this is {found[:12]}); give it name=...'
      )
    snapshot_id = row.id if row is not None else _insert(connection, policy)
    deployed[snapshot_id] = Deployed(
      snapshot_id, policy.name, policy.share, policy
    )
  return deployed


def _insert(connection: sa.Connection, policy: Policy) -> int:
  return facts.add(
    connection,
    schema.snapshots,
    name=policy.name,
    fingerprint=tranche_files.model_id(policy.spec),
    spec=json.dumps(policy.spec, sort_keys=True),
  )


def shares(
  connection: sa.Connection, deployed: Mapping[int, Deployed]
) -> dict[int, float]:
  """Returns each snapshot's weight in the draw, 0 while it is paused."""
  decided = people.all_latest(connection, 'share')
  paused = people.all_latest(connection, 'pause')
  return {
    key: 0.0 if paused.get(key, False) else decided.get(key, entry.share)
    for key, entry in deployed.items()
  }


def draw(
  weights: Mapping[int, float], seed: int, failed: Collection[int] = ()
) -> tuple[int, int]:
  """Draws the snapshots of A and of B, which may be one.

  Args:
    weights: From `shares`.
    seed: Of the attempt.
    failed: Snapshots that failed at this turn; taken only if no other is left.

  Raises:
    RefusedError: Every snapshot is paused.
  """
  running = {key: weight for key, weight in weights.items() if weight > 0}
  fresh = {key: w for key, w in running.items() if key not in failed}
  pool = sorted((fresh or running).items())
  if not pool:
    raise RefusedError(
      503,
      'no_model',
      'No model answers at the moment. Your work is kept; come back later.',
    )
  keys, chances = zip(*pool)
  first, second = random.Random(seed).choices(keys, chances, k=2)
  return first, second
