"""RLHF by whether the value head has a trunk of its own.

  python -m experiments.sweep \
    --sweep=experiments/sweeps/critics.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/critics

Arguments as in experiments/sweeps/chain.py. Both start from the
policy, as a shared trunk must, so that they differ in nothing else.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation(
    {'share_trunk': (False, True)}, {'value_init': 'policy'}
  )
  return chain.sweep(stages, choice, values)
