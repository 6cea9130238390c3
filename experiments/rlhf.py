"""RLHF with PPO (sections 4.1 and B.1).

python -m experiments.rlhf --config=configs/rlhf.py:world=lab,size=nano \
    --config.policy_from=runs/distill \
    --config.pm_from=runs/pm \
    --workdir=runs/rlhf
"""

from hh_jax.config import RLHFConfig
from hh_jax.launch import cli


def main(config: RLHFConfig, workdir: str) -> str:
  from hh_jax.stages import rlhf
  from hh_jax.training import distributed

  line = rlhf.run(config, workdir)
  return f'{line}\n{report(workdir)}' if distributed.is_first() else line


def report(workdir: str) -> str:
  """Writes the run's page; says where, or what it needs."""
  try:
    from hh_jax.report import page
  except ModuleNotFoundError as error:
    return (
      f'no report: {error.name} is missing; install the extra `eval`, then '
      f'python -m hh_jax.report.page --workdir={workdir}'
    )
  return f'report: {page.write(workdir, cli.command_line())}'


if __name__ == '__main__':
  cli.run(main, RLHFConfig)
