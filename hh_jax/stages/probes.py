"""What figures ask models beside comparisons: prompts by kind, HHH items."""

from __future__ import annotations

from hh_jax.config import DataConfig
from hh_jax.data import hhh
from hh_jax.data.comparisons import SIDES
from hh_jax.data.prompts import Prompt
from hh_jax.lab import world as lab
from hh_jax.stages import worlds


def prompts_by_kind(
  data: DataConfig, seed: int, num_usual: int, num_tested: int
) -> dict[str, list[Prompt]]:
  """Returns prompts to tell harmful from helpful ones (section 5.4).

  `usual` are helpful ones of the training part, `shown` harmful ones of it;
  `helpful` and `harmful` are held out. In the lab `harmful` are of families
  that occur in no training material.
  """
  found = {
    'usual': worlds.prompts(data, seed, num_usual, 0.0, is_held_out=False),
    'shown': worlds.prompts(data, seed, num_tested, 1.0, is_held_out=False),
    'helpful': worlds.prompts(data, seed, num_tested, 0.0, is_held_out=True),
  }
  if data.world == 'hh':
    found['harmful'] = worlds.prompts(
      data, seed, num_tested, 1.0, is_held_out=True
    )
    return found
  unseen = lab.prompts(
    seed,
    num_tested,
    1.0,
    'test',
    test_fraction=data.test_fraction,
    held_out=True,
  )
  found['harmful'] = [
    Prompt(dialogue=item.dialogue, side=item.side, id=item.prompt_id)
    for item in unseen
  ]
  return found


def hhh_items(
  data: DataConfig, seed: int, path: str, num: int
) -> list[hhh.Item]:
  """Returns the HHH evaluation: a file's items, or held-out pairs of the lab.

  Args:
    data: Says the world.
    seed: Of the lab's pairs.
    path: Of the file; '' only in the lab.
    num: How many the lab makes.
  """
  if path:
    return hhh.read_items(path)
  found = []
  for side in SIDES:
    pairs = lab.comparisons(
      seed, num // 2, side, split='test', test_fraction=data.test_fraction
    )
    for pair in pairs:
      replies = sorted(
        (pair.chosen, pair.rejected),
        key=lambda reply: -worlds.gold(pair.prompt, reply, side),
      )
      found.append(hhh.Item(side, pair.prompt, *replies))
  return found
