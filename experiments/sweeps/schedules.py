"""RLHF by its learning-rate schedules (§4.1, §4.2, §B.1).

  python -m experiments.sweep \
    --sweep=experiments/sweeps/schedules.py:world=lab,size=nano,seeds=3 \
    --executor=local --workdir=runs/schedules

Arguments as in experiments/sweeps/chain.py. Halved every 100,000
samples in the paper's online training; warmed up over the first 25,000 in its
robustness study.
"""

from configs import rlhf
from configs.figures import policies
from experiments.sweeps import chain
from hh_jax.launch.sweep import Sweep


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  config = rlhf.build(choice)
  updates = config.num_iterations * config.passes * config.minibatches
  warmup = max(1, round(policies.WARMUP * updates))
  stages = chain.to_ablation(
    {
      'optimizer.schedule': ('constant', 'linear', 'halving'),
      'optimizer.warmup_steps': (0, warmup),
    }
  )
  return chain.sweep(stages, choice, values)
