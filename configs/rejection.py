"""Best of k replies by the preference model (sections 2.3 and B.6).

  python -m experiments.rejection \
    --config=configs/rejection.py:world=lab,size=nano,k=16 \
    --config.policy_from=runs/distill --config.pm_from=runs/pm \
    --workdir=runs/rejection

Arguments as in configs/pretrain.py, and k.

In the pipeline, nano in the lab on 2 CPU cores: 22 seconds, +0.36 of PM
score at k = 16.
"""

from configs import presets
from hh_jax.config import RejectionConfig


def build(choice: presets.Choice, k: int = 16) -> RejectionConfig:
  row_length = presets.short_rows(choice, 2048)
  return RejectionConfig(
    data=presets.data(choice, row_length, 32),
    sampling=presets.sampling(choice),
    k=k,
    num_prompts=choice.pick(256, 64, 4),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg, k=16)
