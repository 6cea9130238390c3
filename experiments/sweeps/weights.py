"""Preference models by λ, the weight of harmless comparisons (§5.1.2).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/weights.py:world=lab,size=nano \
    --executor=local --workdir=runs/weights

Arguments as in experiments/sweeps/chain.py.
"""

from experiments.sweeps import chain
from hh_jax.config import MixtureConfig
from hh_jax.launch.sweep import Stage, Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  pm = Stage(
    'pm',
    chain.PM_FROM,
    varied={'harmless_weight': MixtureConfig.weights},
  )
  return chain.sweep(chain.to_pm(pm), choice, values)
