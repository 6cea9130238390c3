"""Writers of known strength: the best style, and now and then a lapse.

1. A writer replies in the style with the highest mean gold utility to a prompt,
   in the manner of the kind persona.
2. With a known probability a reply is a lapse: one of the other styles, all
   alike.

Reference: Bai et al. 2022, section 6.1 (paid writers of ideal dialogues).
"""

from __future__ import annotations

from hh_jax.data.dialogue import Dialogue
from hh_jax.lab import draws, people, reading, reference, replies


def write(
  seed: int, index: int, prompt: Dialogue, side: str, lapse_rate: float
) -> str:
  """Reply number `index` of the writer with this rate of lapses.

  Whatever the rate, the same replies come first to lapse.

  Raises:
    ValueError: The prompt cannot be read, so no style applies to it.
  """
  best = reference.best_style(prompt, side)[0]
  request = reading.read(prompt)
  if request is None:
    raise ValueError(f'prompt ending on {prompt.turns[-1:]} has no best style')
  rng = draws.stream(seed, f'lab/writer/{side}', index)
  style = best
  if draws.chance(rng, lapse_rate):
    others = [name for name in replies.styles_for(request) if name != best]
    style = draws.pick(rng, others)
  return replies.render(rng, request, style, people.PERSONAS['kind'].manner)
