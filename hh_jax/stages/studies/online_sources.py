"""The tranches and the last models of online training, for its figures.

In the lab the iterations are run (`stages.online`), and a tranche of best-of-k
replies alone is made beside them. Elsewhere the released files are the
tranches, and the last models are those of all of them.

Reference: Bai et al. 2022, sections 2.3 and 4.5.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from hh_jax.config import OnlineConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data.comparisons import Comparison
from hh_jax.stages import (
  conversations,
  inputs,
  loading,
  online,
  online_models,
  tranche_files,
)
from hh_jax.stages.conversations import Deployed
from hh_jax.stages.online import Iteration, Online
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies.scaling import HELPFUL

BASE, SAMPLED, ONLINE = 'base', 'rejection-sampled', 'online'
SOURCES = (BASE, SAMPLED, ONLINE)
BOTH, HELPFUL_ONLY = 'HH', 'helpful only'
# What policies of a kind, and their preference models, are trained on.
KINDS: dict[str, dict[str, float]] = {
  BOTH: {},
  HELPFUL_ONLY: {'harmless_fraction': HELPFUL},
}


@dataclasses.dataclass(frozen=True)
class Last:
  """A policy of all tranches, and the preference model that rewarded it."""

  line: PolicyLineage
  kind: str
  pm: pathlib.Path
  policy: pathlib.Path


def last(line: PolicyLineage, kind: str) -> Last:
  """Trains, or finds, what online training ends with."""
  require_no_tranche(online_models.config_of(line))
  changes: dict[str, Any] = dict(KINDS[kind])
  if line.config.world == 'lab':
    folder = iterations(line)[-1].comparisons
    pm = online_models.pm_on(line, folder, **changes)
  else:
    pm = line.pm(**changes)
  return Last(line, kind, pm, online_models.policy_of(line, pm, **changes))


def iterations(line: PolicyLineage) -> list[Iteration]:
  """Runs, or finds, all iterations."""
  loop = Online(line)
  return [loop.run(number) for number in range(loop.config.iteration + 1)]


def require_no_tranche(config: OnlineConfig) -> None:
  """Raises ValueError for a tranche that a figure would not read."""
  if config.tranche:
    raise ValueError(
      f'--config.tranche={config.tranche} is of one iteration; figures take '
      'theirs from the crowd or the released files'
    )


def helpful(line: PolicyLineage) -> dict[str, list[Comparison]]:
  """Helpful comparisons of every source.

  Raises:
    ValueError: A source has none.
  """
  config = online_models.config_of(line)
  require_no_tranche(config)
  found = _made(line) if config.world == 'lab' else _released(config)
  kept = {
    name: [item for item in items if item.side == 'helpful']
    for name, items in found.items()
  }
  missing = [name for name, items in kept.items() if not items]
  if missing:
    raise ValueError(
      f'there is no helpful comparison of {" and ".join(missing)}, which the '
      f'figure compares; data_dir={config.data_dir}'
    )
  return kept


def _released(config: OnlineConfig) -> dict[str, list[Comparison]]:
  """The released files by the model class that their names say."""
  read = comparisons_lib.read_comparisons(config.data_dir).comparisons
  return {
    name: [item for item in read if item.tranche.endswith(name)]
    for name in SOURCES
  }


def _made(line: PolicyLineage) -> dict[str, list[Comparison]]:
  done = iterations(line)
  return {
    BASE: _read(done[0].tranche),
    SAMPLED: _read(_sampled(line, done[0])),
    ONLINE: [item for one in done[1:] for item in _read(one.tranche)],
  }


def _read(tranche: pathlib.Path) -> list[Comparison]:
  return list(comparisons_lib.read_comparisons(tranche).comparisons)


def _sampled(line: PolicyLineage, first: Iteration) -> pathlib.Path:
  """The tranche of best-of-k replies by the first preference model."""
  config = online_models.config_of(line)
  folder = Online(line).folder / SAMPLED
  if not (folder / online.TRANCHE).exists():
    pi0, pm = loading.load_run(line.distilled()), loading.load_run(first.pm)
    k = config.rejection.k
    made = conversations.tranche(
      session(line, [Deployed(f'best_of_{k}', pi0, k)], pm, SAMPLED),
      folder / online.EXCHANGES,
      SAMPLED,
    )
    tranche_files.write(made, folder / online.TRANCHE)
  return folder / online.TRANCHE


def session(
  line: PolicyLineage,
  deployed: list[Deployed],
  pm: loading.Run,
  purpose: str,
  is_contest: bool = False,
) -> conversations.Session:
  """Helpful conversations of the crowd with some policies."""
  config = online_models.config_of(line)
  data = inputs.place_data(config, config.rejection.data)
  return conversations.Session(
    deployed,
    pm,
    dataclasses.replace(config.rejection, seed=line.seed, data=data),
    config.conversations,
    0.0,
    purpose,
    is_contest,
  )
