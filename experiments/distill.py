"""Context distillation of the HHH prompt (section A.1).

python -m experiments.distill --config=configs/distill.py:world=lab,size=nano \
    --config.init_from=runs/pretrain \
    --workdir=runs/distill
"""

from hh_jax.config import DistillConfig
from hh_jax.launch import cli


def main(config: DistillConfig, workdir: str) -> str:
  from hh_jax.stages import distill

  return distill.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, DistillConfig)
