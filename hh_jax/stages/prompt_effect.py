"""What the HHH prompt does to replies, and what a distilled student keeps.

Each held-out prompt is answered three times with the same uniforms: by the
teacher without the prompt, by the teacher with it, and by the student without
it. A judge that knows the truth grades the replies.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hh_jax.config import DistillConfig, SamplingConfig
from hh_jax.generation import decode
from hh_jax.stages import loading, worlds
from hh_jax.stats import bootstrap
from hh_jax.training import keys
from hh_jax.types import Params

REPLY_TOKENS = 48


@dataclasses.dataclass(frozen=True)
class Graded:
  """Gold utilities of one way of answering, prompt by prompt."""

  sides: np.ndarray  # [N] str
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
  ids = [run.tokenizer.encode_prompt(prompt.dialogue) for prompt in prompts]
  if context is not None:
    ids = [np.concatenate([context, prompt]) for prompt in ids]
  replies = _reply_texts(config.seed, run, params, ids)
  return Graded(
    sides=np.array([prompt.side for prompt in prompts]),
    gold=np.array(
      [
        worlds.gold(prompt.dialogue, reply, prompt.side)
        for prompt, reply in zip(prompts, replies, strict=True)
      ]
    ),
  )


def gain(after: Graded | None, before: Graded | None) -> dict[str, list[float]]:
  """Returns the mean gain by side, [low, mid, high]; empty without a judge."""
  if after is None or before is None:
    return {}
  return {
    side: bootstrap.mean_interval(
      (after.gold - before.gold)[after.sides == side]
    ).tolist()
    for side in worlds.SIDES
  }


def _reply_texts(
  seed: int, run: loading.Run, params: Params, prompts: list[np.ndarray]
) -> list[str]:
  sampling = SamplingConfig(max_new_tokens=REPLY_TOKENS)
  generated = decode.generate(
    run.model,
    params,
    prompts,
    np.arange(len(prompts)),
    keys.fold(seed, 'distill', 'effect'),
    sampling,
    loading.stop_sequences(run.tokenizer, sampling),
  )
  return [
    loading.reply_text(run.tokenizer, ids)
    for ids in loading.replies_of(run.tokenizer, generated)
  ]


def describe(name: str, gains: dict[str, list[float]]) -> str:
  """Says in a few words what was gained."""
  if not gains:
    return f'{name}: no gold judge, gain not measured'
  parts = [
    f'{side} {mid:+.2f} [{low:+.2f}, {high:+.2f}]'
    for side, (low, mid, high) in gains.items()
  ]
  return f'gold gain of {name}: {", ".join(parts)}'
