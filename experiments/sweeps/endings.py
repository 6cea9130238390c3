"""RLHF by what a reply without an end of its own earns.

  python -m experiments.sweep \
    --sweep=experiments/sweeps/endings.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/endings

Arguments as in experiments/sweeps/chain.py. `pm` is its score, `fixed`
is `missing_eot_value`, -1. The paper does not say.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation({'missing_eot_score': ('pm', 'fixed')})
  return chain.sweep(stages, choice, values)
