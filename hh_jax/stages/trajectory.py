"""A finished policy run at its points: divergence, and scores by any model.

1. Every point of a run has replies to the same held-out prompts, the KL
   divergence on each of them and, in the lab, their gold utilities.
2. Any preference model scores the replies later, whatever the policy was
   trained against. Scores are kept beside the models, by run and model.
3. Means over prompts are resampled together: the divergence, every score and
   every point of one run on the same draw of conversations.

Reference: Bai et al. 2022, sections 4.2-4.3.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import RLHFConfig, from_config_dict
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.prompts import Prompt
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.evals import scoring
from hh_jax.stages import curves, held_out, inputs, loading, policy_points
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stats import bootstrap, seeds

GOLD = 'gold'
Table = np.ndarray  # [R + 1, T], means over prompts: row 0 plain, then drawn


@dataclasses.dataclass(frozen=True)
class Trajectory:
  """What one policy said and was worth along its training."""

  line: PolicyLineage
  folder: pathlib.Path  # of the finished rlhf run
  # Its own comparisons, which its prompts are of; None: those of the lineage.
  comparisons: pathlib.Path | None = None

  @functools.cached_property
  def config(self) -> RLHFConfig:
    """What the policy was trained with; its files lie where they lie now."""
    found = inputs.describe(self.folder).config
    config = from_config_dict(RLHFConfig, found)
    own = self.comparisons if config.data.world == 'hh' else None
    moved = dataclasses.replace(config.data, data_dir=str(own or ''))
    data = inputs.place_data(self.line.config, moved)
    return dataclasses.replace(config, data=data)

  @functools.cached_property
  def points(self) -> list[dict[str, Any]]:
    """As written by `policy_points`, in order."""
    return policy_points.read(
      self.folder / policy_points.POINTS, self.config.num_iterations
    )

  @functools.cached_property
  def prompts(self) -> tuple[Prompt, ...]:
    return policy_points.held_out_prompts(self.config)

  @functools.cached_property
  def clusters(self) -> np.ndarray:
    """Key of each prompt's conversation, [N] int."""
    return prompts_lib.conversation_keys(self.prompts)

  @functools.cached_property
  def sides(self) -> np.ndarray:
    """Side of each prompt, [N] str."""
    return np.array([prompt.side for prompt in self.prompts])

  @property
  def samples(self) -> np.ndarray:
    """Replies trained on before each point, [T] int."""
    return np.array([point['samples'] for point in self.points])

  def known(self, name: str) -> np.ndarray:
    """`kl`, `train_pm` or `gold` of each reply, as measured, [T, N] float64."""
    return np.array([point['by_prompt'][name] for point in self.points])

  @property
  def has_gold(self) -> bool:
    return GOLD in self.points[0]['by_prompt']

  def scores(self, pm: pathlib.Path) -> np.ndarray:
    """Scores of each reply by a preference model, [T, N] float64."""
    if pm.name == pathlib.Path(self.config.pm_from).name:
      return self.known('train_pm')  # measured along with the rest
    name = f'{self.folder.name}-{pm.name}.npy'
    path = self.line.workdir / held_out.SCORES / name
    if not path.exists():
      path.parent.mkdir(parents=True, exist_ok=True)
      curves.write_array(path, self._score(loading.load_run(pm)))
    return np.load(path).astype(np.float64)

  def _score(self, pm: loading.Run) -> np.ndarray:
    prompts = policy_points.encode(self.config, pm.tokenizer, self.prompts)
    found = [
      scoring.score_replies(
        pm.model, pm.params, pm.tokenizer, prompts, self.replies(place)
      )
      for place in range(len(self.points))
    ]
    return np.stack(found)

  def replies(self, place: int) -> list[np.ndarray]:
    """Ids of the replies of a point, in prompt order."""
    folder = self.folder / policy_points.POINTS
    return policy_points.read_replies(folder, self.points[place]['step'])

  def texts(self, place: int) -> list[str]:
    """The replies of a point, in prompt order."""
    tokenizer = Tokenizer.load(self.folder / loading.TOKENIZER_FILE)
    return [tokenizer.decode_reply(ids) for ids in self.replies(place)]


def resampled(
  runs: Sequence[Trajectory], values: Sequence[np.ndarray], side: str = ''
) -> list[Table]:
  """Means over the prompts of a side, of every seed.

  Args:
    runs: One of every seed.
    values: Of every seed, a number for each point and prompt, [T, N].
    side: 'helpful', 'harmless' or '' for both.
  """
  found = []
  for run, own in zip(runs, values, strict=True):
    members = run.sides == side if side else np.ones(len(run.sides), bool)
    found.append(
      bootstrap.mean_table(
        own[:, members], run.clusters[members], seeds.NUM_RESAMPLES
      )
    )
  return found


def roots(runs: Sequence[Trajectory]) -> list[Table]:
  """√KL of every seed, resampled with the scores."""
  tables = resampled(runs, [run.known('kl') for run in runs])
  # An exact divergence near 0 may come out below it by rounding.
  return [np.sqrt(np.maximum(table, 0.0)) for table in tables]


def gains(values: Sequence[np.ndarray]) -> list[np.ndarray]:
  """What each reply is above the first point's to the same prompt, [T, N]."""
  return [own - own[0] for own in values]


def estimates(tables: Sequence[Table]) -> list[seeds.Estimate]:
  """The mean over seeds at each point."""
  return [
    seeds.joined([table[:, place] for table in tables])
    for place in range(tables[0].shape[1])
  ]


def zero_of(line: PolicyLineage, pm: pathlib.Path) -> float:
  """A preference model's mean score of held-out comparisons [§B.2]."""
  return float(held_out.score(line, pm).scores.mean())
