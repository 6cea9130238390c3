"""Context distillation of the HHH prompt (Bai et al. 2022, section A.1).

  python -m experiments.distill \
    --config=configs/distill.py:world=lab,size=nano \
    --config.init_from=runs/pretrain --workdir=runs/distill

Arguments as in configs/pretrain.py.

Nano in the lab on 2 CPU cores: 2 minutes, KL 0.005 nats a token, gold
harmlessness +1.25.
"""

from configs import presets
from hh_jax.config import DistillConfig


def build(choice: presets.Choice) -> DistillConfig:
  row_length = 8192
  if choice.is_nano:
    row_length = 768 if choice.world == 'lab' else 1024
  return DistillConfig(
    data=presets.data(
      choice,
      row_length,
      choice.pick(32, 32, 4),  # sequences [§A.1]
      max_path=128 if choice.is_nano else 0,
      num_examples=choice.pick(2500, 1000, 40) if choice.world == 'lab' else 0,
    ),
    optimizer=presets.optimizer(choice, 0.05, 0.5, 'linear'),  # [§A.1]
    loop=presets.loop(choice),
    # 350M tokens in sequences of 8,192 [§A.1] are 1,335 steps.
    num_steps=choice.pick(num_full_steps(choice), 40, 2),
    effect_prompts=choice.pick(512, 128, 8),
  )


def num_full_steps(choice: presets.Choice) -> int:
  if choice.is_small_data:
    return 80
  return 150 if choice.is_nano else 1335


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
