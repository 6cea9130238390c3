"""RL prompts: dialogues of the comparisons with the replies removed.

Reference: Bai et al. 2022, section 4.1 (prompts of the PM comparisons).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A dialogue that ends on a human turn, and where it came from."""

  dialogue: dialogue_lib.Dialogue
  side: str  # 'helpful' or 'harmless'
  tranche: str
  turn: int  # exchange that a reply would close, 1 is the first
  id: int = 0  # global example id, which keys the draws of its replies


@dataclasses.dataclass(frozen=True)
class PromptSet:
  """Prompts without repetition, and how many there were."""

  prompts: tuple[Prompt, ...]  # in order of first appearance
  num_read: int
  num_duplicates: int


def prompts_of(
  comparisons: Iterable[comparisons_lib.Comparison],
) -> PromptSet:
  """Prompts of comparisons; of equal texts the first is kept."""
  found: dict[str, Prompt] = {}
  num_read = 0
  for pair in comparisons:
    num_read += 1
    text = dialogue_lib.format_transcript(pair.prompt)
    if text not in found:
      found[text] = Prompt(
        pair.prompt, pair.side, pair.tranche, pair.turn, len(found)
      )
  return PromptSet(tuple(found.values()), num_read, num_read - len(found))


def from_comparisons(
  comparisons: Iterable[comparisons_lib.Comparison],
) -> list[Prompt]:
  """The prompts of `prompts_of`, without the counts."""
  return list(prompts_of(comparisons).prompts)
