"""Preference model on human comparisons (sections 3.1 and A.2).

python -m experiments.pm --config=configs/pm.py:world=lab,size=nano \
    --config.init_from=runs/pmp \
    --workdir=runs/pm
"""

from hh_jax.config import PMConfig
from hh_jax.launch import cli


def main(config: PMConfig, workdir: str) -> str:
  from hh_jax.stages import pm

  return pm.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, PMConfig)
