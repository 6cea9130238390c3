"""RLHF by whether rewards are whitened; the paper takes raw scores (§4.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/rewards.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/rewards

Arguments as in experiments/sweeps/chain.py.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation({'whiten_rewards': (False, True)})
  return chain.sweep(stages, choice, values)
