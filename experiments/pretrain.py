"""Language-model pretraining (Bai et al. 2022, section 3.1).

python -m experiments.pretrain \
    --config=configs/pretrain.py:world=lab,size=nano \
    --workdir=runs/pretrain
"""

from hh_jax.config import PretrainConfig
from hh_jax.launch import cli


def main(config: PretrainConfig, workdir: str) -> str:
  from hh_jax.stages import pretrain

  return pretrain.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, PretrainConfig)
