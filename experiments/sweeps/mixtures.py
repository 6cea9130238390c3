"""Preference models of mixtures, 0 to 100 % harmless comparisons (§5.1.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/mixtures.py:world=lab,size=nano \
    --executor=local --workdir=runs/mixtures

Arguments as in experiments/sweeps/chain.py. Every mixture has as many
comparisons.
"""

from configs.figures import models
from experiments.sweeps import chain
from hh_jax.launch.sweep import Stage, Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  pm = Stage(
    'pm',
    chain.PM_FROM,
    varied={'harmless_fraction': models.fractions(choice)},
    fixed={'num_comparisons': models.total_of_mixtures(choice)},
  )
  return chain.sweep(chain.to_pm(pm), choice, values)
