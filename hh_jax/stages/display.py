"""What a policy says to the same held-out prompts along its training.

1. At the start, every few iterations and at the end 17 replies a prompt are
   sampled and scored by the training preference model.
2. The one with the median score of those that are not empty is kept, as the
   paper shows replies.
3. One JSON file each time, a function of (state, step): resuming repeats it.

Reference: Bai et al. 2022, section 6 and appendix C.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import RLHFConfig
from hh_jax.data.prompts import Prompt
from hh_jax.evals import scoring
from hh_jax.generation import best_of_k
from hh_jax.stages import loading
from hh_jax.stages import rollout as rollout_lib
from hh_jax.training import distributed, keys
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Params

FOLDER = 'samples'  # in a run's workdir


@dataclasses.dataclass(frozen=True)
class Display:
  """The prompts of a run's texts, and who samples and scores them."""

  config: RLHFConfig
  reference: loading.Run
  pm: loading.Run
  prompts: tuple[Prompt, ...]
  pool: rollout_lib.PromptPool
  folder: pathlib.Path

  def at(self, params: Params, step: int) -> None:
    """Writes the texts of a step that is due."""
    is_last = step == self.config.num_iterations
    if is_last or step % self.config.show_every == 0:
      self._write(params, step)

  def start(self, initial: Params) -> None:
    """Writes those of the initial policy, unless that was done before."""
    if not self._file(0).exists():
      self._write(initial, 0)

  def collect(self, last_step: int) -> list[dict[str, Any]]:
    """Returns a row a prompt: side, turns and its replies up to a step."""
    steps = sorted(int(path.stem) for path in self.folder.glob('[0-9]*.json'))
    shown = {
      step: json.loads(self._file(step).read_text())
      for step in steps
      if step <= last_step
    }
    return [
      {
        'side': prompt.side,
        'prompt': [dataclasses.asdict(turn) for turn in prompt.dialogue.turns],
        'replies': [{'step': step, **own[i]} for step, own in shown.items()],
      }
      for i, prompt in enumerate(self.prompts)
    ]

  def _file(self, step: int) -> pathlib.Path:
    return self.folder / f'{step:08d}.json'

  def _write(self, params: Params, step: int) -> None:
    rows = self._medians(params, step)
    if distributed.is_first():
      self.folder.mkdir(parents=True, exist_ok=True)
      workdir_lib.write_json(self._file(step), rows)

  def _medians(self, params: Params, step: int) -> list[dict[str, Any]]:
    """The median of each prompt's replies: its text and score."""
    k = best_of_k.NUM_DISPLAY_SAMPLES
    places = np.repeat(np.arange(len(self.pool)), k)
    ids = best_of_k.reply_ids(self.pool.example_ids, k)
    many = dataclasses.replace(
      self.pool.take(places), example_ids=ids.reshape(-1)
    )
    replies = rollout_lib.sample(
      self.reference.model,
      params,
      self.reference.tokenizer,
      many,
      keys.fold(self.config.seed, 'rlhf', 'display', step),
      self.config.sampling,
    ).contents()
    scores = scoring.score_replies(
      self.pm.model, self.pm.params, self.pm.tokenizer, many.prompts, replies
    ).reshape(-1, k)
    texts = [self.reference.tokenizer.decode_reply(own) for own in replies]
    grouped = [texts[i : i + k] for i in range(0, len(texts), k)]
    return [
      {'text': text, 'score': score}
      for text, score in best_of_k.medians(grouped, scores)
    ]


def prepare(
  config: RLHFConfig,
  reference: loading.Run,
  pm: loading.Run,
  prompts: Sequence[Prompt],
  pool: rollout_lib.PromptPool,
  workdir: pathlib.Path,
) -> Display:
  """Takes some of the held-out prompts, evenly, so that both sides are there.

  Args:
    config: Says how many.
    reference: Network and tokenizer of the policy.
    pm: Scores.
    prompts: Held out.
    pool: Their ids.
    workdir: Of the run.
  """
  num = min(config.show_prompts, len(prompts))
  places = np.linspace(0, len(prompts) - 1, num).astype(int)
  return Display(
    config=config,
    reference=reference,
    pm=pm,
    prompts=tuple(prompts[i] for i in places),
    pool=pool.take(places),
    folder=workdir / FOLDER,
  )
