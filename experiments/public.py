"""Public weights, in place of pretraining.

Opens a folder of the Hugging Face layout (GPT-NeoX, Llama, Qwen2 or Qwen3;
config.json, *.safetensors and tokenizer.json) as a run to start from.

python -m experiments.public --config=configs/public.py \
    --config.source=FOLDER \
    --workdir=runs/public
"""

from hh_jax.config import PublicConfig
from hh_jax.launch import cli


def main(config: PublicConfig, workdir: str) -> str:
  from hh_jax.stages import public

  return public.run(config, workdir)


if __name__ == '__main__':
  cli.run(main, PublicConfig)
