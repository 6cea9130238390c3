"""RLHF with PPO (sections 4.1 and B.1).

python -m experiments.rlhf --config=configs/rlhf.py:world=lab,size=nano \
    --config.policy_from=runs/distill \
    --config.pm_from=runs/pm \
    --workdir=runs/rlhf
"""

from hh_jax.config import RLHFConfig
from hh_jax.launch import cli


def main(config: RLHFConfig, workdir: str) -> str:
  from hh_jax.report import page
  from hh_jax.stages import rlhf
  from hh_jax.training import distributed

  line = rlhf.run(config, workdir)
  if not distributed.is_first():
    return line
  return f'{line}\nreport: {page.write(workdir, cli.command_line())}'


if __name__ == '__main__':
  cli.run(main, RLHFConfig)
