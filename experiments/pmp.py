"""Preference-model pretraining on ranked answers (section A.2).

python -m experiments.pmp --config=configs/pmp.py:world=lab,size=nano \
    --config.init_from=runs/pretrain \
    --workdir=runs/pmp
"""

from hh_jax.config import PMPConfig
from hh_jax.launch import cli


def main(config: PMPConfig, workdir: str) -> str:
  from hh_jax.stages import pmp

  return pmp.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, PMPConfig)
