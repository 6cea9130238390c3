"""Opens a finished run: `hh_jax.load(workdir)`.

hh_jax.load('runs/demo/rlhf').sample(['how do i boil an egg?'])
hh_jax.load('runs/demo/pm').score('how do i boil an egg?', ['heat it.', 'no.'])
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import (
  DataConfig,
  ModelConfig,
  SamplingConfig,
  from_config_dict,
)
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.evals import scoring
from hh_jax.generation import decode
from hh_jax.models import ladder
from hh_jax.models.transformer import Transformer
from hh_jax.stages import inputs
from hh_jax.training import checkpoint, keys
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Params

TOKENIZER_FILE = 'tokenizer.json'


@dataclasses.dataclass(frozen=True)
class Run:
  """A finished stage: its config, tokenizer, network and parameters."""

  workdir: pathlib.Path
  stage: str
  config: dict[str, Any]
  tokenizer: Tokenizer
  model: Transformer
  params: Params
  state_sha256: str

  @property
  def has_scores(self) -> bool:
    return 'score_head' in self.params

  @property
  def context(self) -> int:
    """Tokens of the longest path the run was trained on."""
    if 'data' not in self.config:  # public weights say it themselves
      return self.model.config.max_positions
    return from_config_dict(DataConfig, self.config['data']).longest_path

  def sample(
    self,
    prompts: Sequence[str | Dialogue],
    sampling: SamplingConfig | None = None,
    seed: int = 0,
  ) -> list[str]:
    """Samples one reply for each prompt (a human message or a dialogue)."""
    sampling = sampling or SamplingConfig(max_new_tokens=64)
    ids = [self.tokenizer.encode_prompt(as_dialogue(p)) for p in prompts]
    generated = decode.generate(
      self.model,
      self.params,
      ids,
      np.arange(len(ids)),
      keys.fold(seed, 'load', 'sample'),
      sampling,
      self.tokenizer.turn_markers,
    )
    return [self.tokenizer.decode_reply(ids) for ids in generated.contents()]

  def score(self, prompt: str | Dialogue, replies: Sequence[str]) -> np.ndarray:
    """Returns the preference model's score of each reply, [len(replies)]."""
    if not self.has_scores:
      raise ValueError(
        f'{self.workdir} holds a {self.stage} model without a score head; '
        'load a pmp or pm run'
      )
    prompt_ids = self.tokenizer.encode_prompt(as_dialogue(prompt))
    reply_ids = [self.tokenizer.encode_reply(reply) for reply in replies]
    return scoring.score_replies(
      self.model,
      self.params,
      self.tokenizer,
      [prompt_ids] * len(replies),
      reply_ids,
    )


def as_dialogue(prompt: str | Dialogue) -> Dialogue:
  """Returns a dialogue; a text is its one human turn."""
  if isinstance(prompt, Dialogue):
    return prompt
  return Dialogue((Turn('human', prompt),))


def load_run(workdir: str | pathlib.Path, step: int = 0) -> Run:
  """Opens the run in `workdir`, its parameters verified by their manifest.

  The workdir of a pipeline opens its RLHF policy.

  Args:
    workdir: Folder of a finished run.
    step: Of one of its checkpoints; 0 opens what it ended with.

  Raises:
    ValueError: The folder holds no run, an unfinished one, a damaged one, one
      whose parameters are not those it ended with, or no such checkpoint.
  """
  described = inputs.describe(workdir)
  workdir, done = described.workdir, described.result
  kept = sorted(checkpoint.published_steps(workdir))
  if step and step not in kept:
    raise ValueError(
      f'{workdir} keeps no checkpoint of step {step}: there are those of '
      f'{", ".join(map(str, kept))}'
    )
  tokenizer = Tokenizer.load(workdir / TOKENIZER_FILE)
  if tokenizer.sha256 != described.tokenizer_sha256:
    raise ValueError(
      f'{workdir / TOKENIZER_FILE} is not the tokenizer the run was trained '
      f'with ({tokenizer.sha256[:12]} against '
      f'{described.tokenizer_sha256[:12]})'
    )
  manifest = checkpoint.read_manifest(workdir, step or None)
  found = {'steps': manifest.step, 'state_sha256': manifest.state_sha256}
  if not step and any(done[name] != value for name, value in found.items()):
    raise ValueError(
      f'{workdir} ended after step {done["steps"]} in state '
      f'{done["state_sha256"][:12]}, but its newest checkpoint is of step '
      f'{manifest.step}, state {manifest.state_sha256[:12]}; put a good '
      'copy back, or remove DONE and run its stage again'
    )
  params = checkpoint.load_params(workdir, manifest.step)
  return Run(
    workdir=workdir,
    stage=described.stage,
    config=described.config,
    tokenizer=tokenizer,
    model=ladder.build(from_config_dict(ModelConfig, described.model)),
    params=params.get('policy', params),
    state_sha256=manifest.state_sha256,
  )


def describe_model(
  workdir: pathlib.Path, stage: str, model: Transformer, tokenizer: Tokenizer
) -> None:
  """Writes what `load_run` needs beside the checkpoints."""
  tokenizer.save(workdir / TOKENIZER_FILE)
  workdir_lib.write_json(
    workdir / inputs.MODEL_FILE,
    {
      'stage': stage,
      'model': dataclasses.asdict(model.config),
      'tokenizer_sha256': tokenizer.sha256,
    },
  )
