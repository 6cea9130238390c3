"""RLHF by where the value network starts: preference model or policy.

  python -m experiments.sweep \
    --sweep=experiments/sweeps/value_init.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/value_init

Arguments as in experiments/sweeps/chain.py. The paper does not say.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation({'value_init': ('pm', 'policy')})
  return chain.sweep(stages, choice, values)
