"""What the HHH prompt does to replies, and what a distilled student keeps.

Each held-out prompt is answered three times with the same uniforms: by the
teacher without the prompt, by the teacher with it, and by the student without
it. A judge that knows the truth grades the replies. Nothing is longer than the
rows the network was pretrained on: a dialogue that would be loses its left end.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from hh_jax.config import DistillConfig, SamplingConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.comparisons import SIDES
from hh_jax.data.prompts import Prompt
from hh_jax.generation import decode
from hh_jax.stages import loading, prompting, worlds
from hh_jax.stats import bootstrap
from hh_jax.training import distributed, keys
from hh_jax.types import Params

SAMPLING = SamplingConfig(max_new_tokens=48)
GAINS = 'prompt_effect.npz'  # in a run's folder: what each prompt gained


@dataclasses.dataclass(frozen=True)
class Graded:
  """Gold utilities of one way of answering, prompt by prompt."""

  sides: np.ndarray  # [N] str
  conversations: np.ndarray  # [N] int, of each first human turn
  gold: np.ndarray  # [N] float64


def grade(
  config: DistillConfig,
  run: loading.Run,
  params: Params,
  context: np.ndarray | None = None,
) -> Graded | None:
  """Answers the held-out prompts and grades the answers.

  Args:
    config: Names the prompts.
    run: Network and tokenizer.
    params: Parameters to answer with.
    context: Ids put before every prompt, if any.

  Returns:
    None where no judge knows the truth.
  """
  if not worlds.has_gold(config.data) or not config.effect_prompts:
    return None
  prompts = worlds.prompts(
    config.data, config.seed, config.effect_prompts, 0.5, is_held_out=True
  )
  ids = prompt_ids(config, run, prompts, context)
  # There is a judge in the lab alone, whose models fit every host.
  own = distributed.own_copy(params)
  replies = _reply_texts(config.seed, run, own, ids)
  return Graded(
    sides=np.array([prompt.side for prompt in prompts]),
    conversations=prompts_lib.conversations_of(prompts),
    gold=np.array(
      [
        worlds.gold(prompt.dialogue, reply, prompt.side)
        for prompt, reply in zip(prompts, replies, strict=True)
      ]
    ),
  )


def prompt_ids(
  config: DistillConfig,
  run: loading.Run,
  prompts: Sequence[Prompt],
  context: np.ndarray | None,
) -> list[np.ndarray]:
  """Returns context and dialogue of each prompt, cut to the pretraining row.

  Raises:
    ValueError: The context leaves no room for a dialogue and a reply.
  """
  before = np.zeros(0, np.int32) if context is None else context
  ids = prompting.encode(
    run.tokenizer,
    [prompt.dialogue for prompt in prompts],
    dataclasses.replace(config.data, row_length=run.context, max_path=0),
    SAMPLING,
    num_before=len(before),
  )
  return [np.concatenate([before, dialogue]) for dialogue in ids]


def gain(after: Graded | None, before: Graded | None) -> dict[str, list[float]]:
  """Returns the mean gain by side, [low, mid, high]; empty without a judge."""
  if after is None or before is None:
    return {}
  return bootstrap.mean_intervals(
    after.gold - before.gold, after.sides, after.conversations, SIDES
  )


@dataclasses.dataclass(frozen=True)
class Gains:
  """Gold score gained over the plain answer, prompt by prompt."""

  sides: np.ndarray  # [N] str
  conversations: np.ndarray  # [N] int, of each first human turn
  prompted: np.ndarray  # [N] float64, the teacher with the HHH prompt
  student: np.ndarray  # [N] float64, after distillation, over itself before

  def write(self, folder: pathlib.Path) -> None:
    """Puts them in a run's folder."""
    partial = folder / f'partial-{GAINS}'
    np.savez(partial, **vars(self))
    partial.replace(folder / GAINS)

  @classmethod
  def read(cls, folder: pathlib.Path) -> Gains | None:
    """Those of a finished run; None where there was no judge."""
    path = folder / GAINS
    if not path.exists():
      return None
    with np.load(path, allow_pickle=False) as arrays:
      return cls(**arrays)


def _reply_texts(
  seed: int, run: loading.Run, params: Params, prompts: list[np.ndarray]
) -> list[str]:
  generated = decode.generate(
    run.model,
    params,
    prompts,
    np.arange(len(prompts)),
    keys.fold(seed, 'distill', 'effect'),
    SAMPLING,
    run.tokenizer.turn_markers,
  )
  return [run.tokenizer.decode_reply(ids) for ids in generated.contents()]


def describe(name: str, gains: dict[str, list[float]]) -> str:
  """Says in a few words what was gained."""
  if not gains:
    return f'{name}: no gold judge, gain not measured'
  parts = [
    f'{side} {mid:+.2f} [{low:+.2f}, {high:+.2f}]'
    for side, (low, mid, high) in gains.items()
  ]
  return f'gold gain of {name}: {", ".join(parts)}'
