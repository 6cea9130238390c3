"""Iterated online RLHF: deploy, compare, retrain from the start.

Iteration 0 takes the comparisons that there are. Every later one
1. deploys together what the earlier ones made: π0, the best of k of its replies
   by the latest preference model, and all snapshots of their policies;
2. has the crowd compare two replies at every turn, or takes what people
   compared at the feedback interface: a new tranche;
3. trains a preference model from preference-model pretraining on all tranches
   together, and a policy from π0 against it. Nothing is updated in place.

An iteration's folder holds its tranche, the comparisons of all tranches so far
and, written last, its record; models lie beside it, found by what they depend
on. Stopped anywhere, it goes on.

Deviation: in the lab the first comparisons are of its own writers' replies, not
of π0's, so that a small model has something to learn from.

Reference: Bai et al. 2022, section 4.5.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import OnlineConfig
from hh_jax.data import tranches
from hh_jax.stages import (
  conversations,
  given_tranche,
  inputs,
  lineage,
  loading,
  online_models,
  policy_lineage,
  tranche_files,
  worlds,
)
from hh_jax.stages.conversations import Deployed
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.training import workdir as workdir_lib

FOLDER, RECORD = 'online', 'iteration.json'
TRANCHE, COMPARISONS, EXCHANGES = 'tranche', 'comparisons', 'exchanges.jsonl'
BASE = 'base'
# Fields that, beside the stages, say what an iteration's models are.
OWN = ('conversations', 'harmless_share', 'snapshots')

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Iteration:
  """A finished iteration."""

  folder: pathlib.Path
  workdir: pathlib.Path
  record: dict[str, Any]

  @property
  def tranche(self) -> pathlib.Path:
    return self.folder / TRANCHE

  @property
  def comparisons(self) -> pathlib.Path:
    """Folder with all tranches so far."""
    return self.folder / COMPARISONS

  @property
  def pm(self) -> pathlib.Path:
    return self.workdir / self.record['pm']['run']

  @property
  def policy(self) -> pathlib.Path:
    return self.workdir / self.record['policy']['run']


@dataclasses.dataclass(frozen=True)
class Online:
  """The iterations of one size and seed."""

  line: PolicyLineage

  @property
  def config(self) -> OnlineConfig:
    return online_models.config_of(self.line)

  @functools.cached_property
  def folder(self) -> pathlib.Path:
    """Its name has a hash of the config: another one's are not mixed in."""
    name = f'{self.line.size}-{self.line.seed}-{digest(self.config)}'
    return self.line.workdir / FOLDER / name

  def read(self, number: int) -> Iteration:
    """Returns a finished iteration.

    Raises:
      ValueError: It is not there.
    """
    folder = self.folder / str(number)
    if not (folder / RECORD).exists():
      raise ValueError(
        f'iteration {number} is not finished in {self.folder}; run it first, '
        f'with the same config and --iteration={number}'
      )
    record = json.loads((folder / RECORD).read_text())
    return Iteration(folder, self.line.workdir, record)

  def run(self, number: int) -> Iteration:
    """Runs an iteration, or finds it.

    Raises:
      ValueError: An earlier one is missing, or the tranche cannot be had;
        nothing is trained then.
    """
    earlier = [self.read(before) for before in range(number)]
    folder = self.folder / str(number)
    if not (folder / RECORD).exists():
      folder.mkdir(parents=True, exist_ok=True)
      workdir_lib.hold(folder)
      try:
        self._make_tranche(folder, earlier)
        self._gather(folder, earlier)
        self._train(folder, earlier)
      finally:
        workdir_lib.release(folder)
    elif self._is_given(number):
      self._make_tranche(folder, earlier)
    return self.read(number)

  def _is_given(self, number: int) -> bool:
    return bool(self.config.tranche) and number == self.config.iteration

  def _make_tranche(
    self, folder: pathlib.Path, earlier: Sequence[Iteration]
  ) -> None:
    """Writes the tranche; a given one must be the one that is there."""
    config, number = self.config, len(earlier)
    if self._is_given(number):
      made = given_tranche.read(config.tranche)
      self._count_models(made, earlier)
    elif (folder / TRANCHE).exists():
      return
    elif number == 0:
      made = self._base()
    elif config.world == 'lab':
      made = conversations.tranche(
        self._session(earlier), folder / EXCHANGES, FOLDER
      )
    else:
      raise ValueError(
        f'world={config.world} has no crowd: give --config.tranche=FOLDER, '
        f'which hh_jax.feedback.export writes, for iteration {number}'
      )
    another = f'another tranche of iteration {number}'
    tranche_files.write(made, folder / TRANCHE, another)

  def _base(self) -> dict[str, bytes]:
    data = inputs.place_data(self.config, self.config.pm.data)
    found = worlds.comparisons(data, self.line.seed)
    return tranche_files.make(
      [
        tranche_files.row_of(item, data.test_fraction)
        for item in found.comparisons
      ],
      BASE,
      {'comparisons': found.num_kept, **found.rejected},
      models={},
    )

  def _session(self, earlier: Sequence[Iteration]) -> conversations.Session:
    config = self.config
    return conversations.Session(
      self.deployed(earlier),
      loading.load_run(earlier[-1].pm),
      dataclasses.replace(
        config.rejection,
        seed=self.line.seed,
        data=inputs.place_data(config, config.rejection.data),
      ),
      config.conversations,
      config.harmless_share,
      f'tranche {len(earlier)}',
    )

  def deployed(self, earlier: Sequence[Iteration]) -> list[Deployed]:
    """Every policy that answers in the next iteration.

    Raises:
      ValueError: A run is of another stage or tokenizer than it has to be.
    """
    pi0 = online_models.describe_all(
      self.line,
      [before.pm for before in earlier],
      [before.policy for before in earlier],
    )
    start, k = loading.load_run(pi0.workdir), self.config.rejection.k
    found = [Deployed('pi0', start)]
    if k > 1:
      found.append(Deployed(f'best_of_{k}', start, k))
    for before in earlier:
      for one in before.record['policy']['snapshots']:
        snapshot = loading.load_run(before.policy, one['step'])
        found.append(Deployed(one['name'], snapshot))
    return found

  def _count_models(
    self, made: Mapping[str, bytes], earlier: Sequence[Iteration]
  ) -> dict[str, int]:
    """Comparisons of a tranche with replies of models made elsewhere, by model.

    Raises:
      ValueError: There are some, and the config does not take them.
    """
    pi0 = inputs.describe(self.line.distilled())
    policies, pms = [pi0.result['state_sha256']], []
    for before in earlier:
      pms.append(before.record['pm']['state_sha256'])
      snapshots = before.record['policy']['snapshots']
      policies += [one['state_sha256'] for one in snapshots]
    by_model, total = given_tranche.count_models(made, policies, pms)
    if total and not self.config.other_models:
      raise ValueError(
        f'the tranche has {total} comparisons with replies of models that no '
        f'earlier iteration made ({", ".join(by_model)}); '
        '--config.other_models=True takes them'
      )
    return by_model

  def _gather(self, folder: pathlib.Path, earlier: Sequence[Iteration]) -> None:
    """Puts the tranches so far into one folder, each under its own name."""
    made: dict[str, bytes] = {}
    rows: dict[str, int] = {}
    for number, own in enumerate([*(one.folder for one in earlier), folder]):
      name = BASE if number == 0 else f'{FOLDER}-{number}'
      for file, count in _about(own)['rows'].items():
        path = own / TRANCHE / file
        target = f'{tranches.names_of(path)[0]}-{name}/{path.name}'
        made[target], rows[target] = path.read_bytes(), count
    text = json.dumps({'rows': rows}, indent=2)
    made[tranche_files.ABOUT] = f'{text}\n'.encode()
    tranche_files.write(made, folder / COMPARISONS)

  def _train(self, folder: pathlib.Path, earlier: Sequence[Iteration]) -> None:
    line, comparisons = self.line, folder / COMPARISONS
    by_model: dict[str, int] = {}
    if earlier:
      made = given_tranche.read(str(folder / TRANCHE))
      by_model = self._count_models(made, earlier)
    pm = online_models.pm_on(line, comparisons)
    policy = online_models.policy_on(line, pm, comparisons)
    trained = inputs.describe(pm).result
    record = {
      'iteration': len(earlier),
      'tranche': _about(folder)['counts'],
      'by_other_models': by_model,
      'comparisons': trained['num_comparisons'],
      'pm': {
        'run': f'{lineage.MODELS}/{pm.name}',
        **{key: trained[key] for key in ('state_sha256', 'accuracy')},
      },
      'policy': self._describe_policy(policy, len(earlier)),
    }
    workdir_lib.write_json(folder / RECORD, record)

  def _describe_policy(
    self, policy: pathlib.Path, number: int
  ) -> dict[str, Any]:
    trained = inputs.describe(policy).result
    last = trained['frontier'][-1]
    return {
      'run': f'{lineage.MODELS}/{policy.name}',
      'state_sha256': trained['state_sha256'],
      'gain': last['gain'],
      'sqrt_kl': float(np.sqrt(max(last['kl'], 0.0))),
      'snapshots': [
        {
          'name': f'rlhf_{number}_{step}',
          'step': step,
          'state_sha256': loading.load_run(policy, step).state_sha256,
        }
        for step in self.config.snapshot_steps
      ],
    }


def run(config: OnlineConfig, workdir: str | pathlib.Path) -> dict[str, Any]:
  """Runs one iteration of every seed; returns their records by seed."""
  inputs.require(config)
  records = {}
  for line in policy_lineage.largest(config, pathlib.Path(workdir)):
    found = Online(line).run(config.iteration)
    log.info('seed %d: %s', line.seed, found.folder)
    records[str(line.seed)] = found.record
  return records


def summary(records: Mapping[str, Any]) -> str:
  """Says in one line a seed what an iteration did."""
  lines = []
  for seed, record in records.items():
    counts = ', '.join(f'{k} {n}' for k, n in record['tranche'].items() if n)
    policy = record['policy']
    steps = ', '.join(str(one['step']) for one in policy['snapshots'])
    lines.append(
      f'online, iteration {record["iteration"]}, seed {seed}: tranche '
      f'({counts}); PM of {record["comparisons"]} comparisons; policy at √KL '
      f'{policy["sqrt_kl"]:.2f}, {policy["gain"]["train_pm"][1]:+.2f} PM score '
      f'over π0, in {policy["run"]} (snapshots of steps {steps})'
    )
  return '\n'.join(lines)


def digest(config: OnlineConfig) -> str:
  """A short hash of all that makes an iteration, but its number and tranche."""
  whole: dict[str, Any] = {name: getattr(config, name) for name in OWN}
  whole['teacher'] = config.teacher_size  # π0's, which no stage's config names
  stages: dict[str, Any] = {
    name: value
    for name, value in vars(config).items()
    if dataclasses.is_dataclass(value)
  }
  for name, stage in stages.items():
    data = inputs.place_data(config, stage.data)
    whole[name] = lineage.digest(dataclasses.replace(stage, data=data))
  text = json.dumps(whole, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


def _about(folder: pathlib.Path) -> dict[str, Any]:
  return json.loads((folder / TRANCHE / tranche_files.ABOUT).read_text())
