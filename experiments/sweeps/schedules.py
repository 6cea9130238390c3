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
from experiments.sweeps import ablation, chain
from hh_jax.launch.sweep import Sweep

# The paper halves every 100,000 samples; its robustness runs have 250,000.
HALVING = 0.4  # of a run


def get_sweep(arg: str | None = None) -> Sweep:
  choice, values = chain.choice_of(arg)
  config = rlhf.build(choice)
  samples = config.num_iterations * config.data.batch_size
  updates = config.num_iterations * config.passes * config.minibatches
  stages = ablation.to_ablation(
    {
      'lr_halving': (0, max(config.data.batch_size, round(HALVING * samples))),
      'optimizer.warmup_steps': (0, max(1, round(policies.WARMUP * updates))),
    },
    {'optimizer.schedule': 'constant'},
  )
  return chain.sweep(stages, choice, values)
