"""Every stage with several seeds: of order, first weights, the lab's data.

  python -m experiments.sweep \
    --sweep=experiments/sweeps/seeds.py:world=lab,size=nano,seeds=5 \
    --executor=local --workdir=runs/seeds

Arguments as in experiments/sweeps/chain.py, but five seeds are the default.
"""

from experiments.sweeps import chain
from hh_jax.launch.sweep import Stage, Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(f'seeds=5,{arg or ""}')
  evaluate = Stage(
    'evaluate',
    {'pm_from': 'pm', 'reference_from': 'distill', 'rlhf_from': 'rlhf'},
    fixed=chain.ONE_DEVICE,
  )
  rejection = Stage('rejection', chain.POLICY_FROM, fixed=chain.ONE_DEVICE)
  stages = (*chain.to_rlhf(), rejection, evaluate)
  return chain.sweep(stages, choice, values)
