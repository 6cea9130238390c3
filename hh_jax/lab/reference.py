"""Reference values: the gold utility of each style of reply to a prompt."""

from __future__ import annotations

import statistics

from hh_jax.data.dialogue import Dialogue
from hh_jax.lab import constants, draws, judge, reading, replies

_MANNER = replies.manner_of(constants.PAIR_MANNER)


def style_values(prompt: Dialogue, side: str, num: int = 8) -> dict[str, float]:
  """Mean gold utility of `num` replies in each style, in nats.

  Raises:
    ValueError: the prompt cannot be read, so no style applies to it.
  """
  request = reading.read(prompt)
  if request is None:
    raise ValueError(
      f'prompt ending on {prompt.turns[-1:]} is not one of the lab; its best '
      'reply is unknown'
    )
  rng = draws.stream(0, 'lab/reference/' + prompt.turns[-1].text, 0)
  return {
    style: statistics.fmean(
      judge.utility(prompt, replies.render(rng, request, style, _MANNER), side)
      for _ in range(num)
    )
    for style in replies.styles_for(request)
  }


def best_style(prompt: Dialogue, side: str) -> tuple[str, float]:
  """The style with the highest mean gold utility, and that value."""
  values = style_values(prompt, side)
  style = max(values, key=values.__getitem__)
  return style, values[style]
