"""RLHF by the most tokens of a reply; 32 and 128 in the paper (§4.1, §B.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/lengths.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/lengths

Arguments as in experiments/sweeps/chain.py.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep

# Replies of nano rungs are short: the lab's have at most 40 tokens.
LENGTHS = {False: (32, 64, 128), True: (16, 24, 40)}


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation(
    {'sampling.max_new_tokens': LENGTHS[choice.is_nano]}
  )
  return chain.sweep(stages, choice, values)
