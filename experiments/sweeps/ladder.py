"""The size ladder, 13M to 52B: every stage up to RLHF at every size.

  python -m experiments.sweep \
    --sweep=experiments/sweeps/ladder.py:world=lab,size=nano \
    --executor=local --workdir=runs/ladder

Arguments as in experiments/sweeps/chain.py; size is the largest of its ladder,
nano the whole nano ladder.
"""

from configs.figures import models
from experiments.sweeps import chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  sizes = models.ladder_up_to(choice.size)
  return chain.sweep(chain.to_rlhf(), choice, values, sizes)
