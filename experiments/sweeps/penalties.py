"""RLHF by λ_KL, the price of a nat of KL from the initial policy (§4.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/penalties.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/penalties

Arguments as in experiments/sweeps/chain.py. The paper's is 0.001.
"""

from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  stages = ablation.to_ablation({'kl_coef': (0.0, 0.001, 0.01, 0.1)})
  return chain.sweep(stages, choice, values)
