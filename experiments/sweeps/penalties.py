"""RLHF by λ_KL, the price of a nat of KL from the initial policy (§4.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/penalties.py:world=lab,size=nano \
    --executor=local --workdir=runs/penalties

Arguments as in experiments/sweeps/chain.py. The paper's is 0.001.
"""

from experiments.sweeps import chain
from hh_jax.launch.sweep import Stage, Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  coefs = (0.0, 0.001, 0.01, 0.1)
  rlhf = Stage('rlhf', chain.POLICY_FROM, varied={'kl_coef': coefs})
  return chain.sweep(chain.to_rlhf(rlhf), choice, values)
