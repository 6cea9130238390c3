"""RL prompts: dialogues of the comparisons with the replies removed.

Reference: Bai et al. 2022, section 4.1 (prompts of the PM comparisons).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A dialogue that ends on a human turn, and its side."""

  dialogue: dialogue_lib.Dialogue
  side: str  # 'helpful' or 'harmless'
  id: int = 0  # global example id, which keys the draws of its replies


def from_comparisons(
  comparisons: Iterable[comparisons_lib.Comparison],
) -> list[Prompt]:
  """Prompts of comparisons; of equal texts the first is kept."""
  found: dict[str, Prompt] = {}
  for pair in comparisons:
    text = dialogue_lib.format_transcript(pair.prompt)
    found.setdefault(text, Prompt(pair.prompt, pair.side, len(found)))
  return list(found.values())


def conversations_of(prompts: Sequence[Prompt]) -> np.ndarray:
  """Number of each prompt's first human turn, [N]."""
  return dialogue_lib.conversation_ids([prompt.dialogue for prompt in prompts])


def conversation_keys(prompts: Sequence[Prompt]) -> np.ndarray:
  """Key of each prompt's conversation, the same for every seed, [N]."""
  return dialogue_lib.conversation_keys([prompt.dialogue for prompt in prompts])
