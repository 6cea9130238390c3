"""RLHF by K, the passes over each rollout (§4.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/passes.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/passes

Arguments as in experiments/sweeps/chain.py.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation({'passes': (1, 2, 4)})
  return chain.sweep(stages, choice, values)
