"""One iteration of online RLHF: deploy, compare, retrain (section 4.5).

python -m experiments.online --config=configs/online.py:world=lab,size=nano2 \
    --iteration=0 --workdir=runs/online

and again with `--iteration=1`, 2, ...: each needs those before it. Run
again, it goes on where it was stopped.
"""

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  from hh_jax.stages import online

  return online.summary(online.run(config, workdir))


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
