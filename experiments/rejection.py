"""Best of k replies by the preference model (sections 2.3 and B.6).

python -m experiments.rejection \
    --config=configs/rejection.py:world=lab,size=nano \
    --config.policy_from=runs/distill \
    --config.pm_from=runs/pm \
    --workdir=runs/rejection
"""

from hh_jax.config import RejectionConfig
from hh_jax.launch import cli


def main(config: RejectionConfig, workdir: str) -> str:
  from hh_jax.stages import rejection

  return rejection.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, RejectionConfig)
