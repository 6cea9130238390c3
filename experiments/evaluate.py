"""Evaluation of finished models (sections 2.4, 3.2, 4.6 and B.5).

python -m experiments.evaluate \
    --config=configs/evaluate.py:world=lab,size=nano \
    --config.pm_from=runs/pm \
    --config.reference_from=runs/distill \
    --config.rlhf_from=runs/rlhf \
    --workdir=runs/evaluate
"""

from hh_jax.config import EvaluateConfig
from hh_jax.launch import cli


def main(config: EvaluateConfig, workdir: str) -> str:
  from hh_jax.stages import evaluate

  return evaluate.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, EvaluateConfig)
