"""Prompts for RLHF written by a language model (sections 4.1 and B.1).

  python -m experiments.prompts \
    --config=configs/prompts.py:world=lab,size=nano \
    --config.init_from=runs/pretrain --workdir=runs/prompts

Arguments as in configs/pretrain.py. RLHF takes them by
`--config.prompts_from=runs/prompts --config.generated_fraction=0.73`.

Not measured yet.
"""

from configs import presets
from hh_jax.config import PromptsConfig, SamplingConfig


def build(choice: presets.Choice) -> PromptsConfig:
  max_new_tokens = 64 if choice.is_nano else 128
  return PromptsConfig(
    data=presets.data(
      choice,
      # As long as what the model was pretrained on.
      1024 if choice.is_small_data else 512 if choice.is_nano else 8192,
      choice.pick(128, 128, 8),
    ),
    sampling=SamplingConfig(
      max_new_tokens=choice.pick(max_new_tokens, max_new_tokens, 16),
      slots=choice.pick(128, 128, 8),
    ),
    loop=presets.loop(choice),
    num_prompts=choice.pick(4000 if choice.is_nano else 369_000, 500, 4),
    shots=choice.pick(10, 10, 2),
    # All there are of the real ones, so that none is copied: 137k [§4.1].
    num_queries=choice.pick(
      2000 if choice.world == 'lab' else 200_000, 500, 20
    ),
    prompts_per_context=choice.pick(16, 16, 4),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
