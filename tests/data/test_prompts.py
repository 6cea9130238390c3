"""Prompts of comparisons."""

from hh_jax.data import prompts as prompts_lib
from tests.data import samples


def test_prompts_are_unique():
  pairs = [
    samples.comparison('a'),
    samples.comparison('b', 'c', 'd', side='harmless'),
    samples.comparison('a', chosen='other'),
  ]
  assert prompts_lib.from_comparisons(pairs) == [
    prompts_lib.Prompt(pairs[0].prompt, 'helpful', 0),
    prompts_lib.Prompt(pairs[1].prompt, 'harmless', 1),
  ]
