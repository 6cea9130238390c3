"""What the HHH prompt does to replies, and what a distilled student keeps.

Each held-out prompt is answered three times with the same uniforms: by the
teacher without the prompt, by the teacher with it, and by the student without
it. A judge that knows the truth grades the replies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hh_jax.config import DistillConfig, SamplingConfig
from hh_jax.generation import decode
from hh_jax.stages import loading, worlds
from hh_jax.stats import bootstrap
from hh_jax.training import keys
from hh_jax.types import Params

REPLY_TOKENS = 48


def measure(
  config: DistillConfig,
  teacher: loading.Run,
  student: loading.Run,
  student_params: Params,
  context: np.ndarray,
) -> dict[str, Any]:
  """Returns, by side, the gold gain of the prompt and of the student.

  Each gain is [low, mid, high] over the plain teacher on the same prompts;
  an empty dict where the world has no gold judge.
  """
  if not worlds.has_gold(config.data) or not config.effect_prompts:
    return {}
  prompts = worlds.prompts(
    config.data, config.seed, config.effect_prompts, 0.5, is_held_out=True
  )
  plain = [teacher.tokenizer.encode_prompt(p.dialogue) for p in prompts]
  prompted = [np.concatenate([context, ids]) for ids in plain]
  gold = {}
  for name, run, params, ids in (
    ('plain', teacher, teacher.params, plain),
    ('prompted', teacher, teacher.params, prompted),
    ('student', student, student_params, plain),
  ):
    replies = _reply_texts(config.seed, run, params, ids)
    gold[name] = np.array(
      [
        worlds.gold(prompt.dialogue, reply, prompt.side)
        for prompt, reply in zip(prompts, replies, strict=True)
      ]
    )
  sides = np.array([prompt.side for prompt in prompts])
  effect: dict[str, Any] = {}
  for side in worlds.SIDES:
    members = sides == side
    base = gold['plain'][members]
    effect[side] = {
      name: bootstrap.mean_interval(gold[name][members] - base)
      for name in ('prompted', 'student')
    }
  return effect


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


def describe(effect: dict[str, Any]) -> str:
  """Says in a few words what was measured."""
  if not effect:
    return 'no gold judge, prompt effect not measured'
  parts = []
  for side, gains in effect.items():
    low, mid, high = gains['prompted']
    kept = gains['student'][1]
    parts.append(
      f'{side} gain of the prompt {mid:+.2f} [{low:+.2f}, {high:+.2f}], '
      f'of the student {kept:+.2f}'
    )
  return '; '.join(parts)
