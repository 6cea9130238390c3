"""Prompts for RLHF written by a language model (section 4.1).

python -m experiments.prompts \
    --config=configs/prompts.py:world=lab,size=nano \
    --config.init_from=runs/pretrain \
    --workdir=runs/prompts
"""

from hh_jax.config import PromptsConfig
from hh_jax.launch import cli


def main(config: PromptsConfig, workdir: str) -> str:
  from hh_jax.stages import generated_prompts

  return generated_prompts.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, PromptsConfig)
