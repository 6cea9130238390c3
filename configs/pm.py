"""Preference model on human comparisons, one epoch (sections 3.1 and A.2).

  python -m experiments.pm --config=configs/pm.py:world=lab,size=nano \
    --config.init_from=runs/pmp --workdir=runs/pm

Arguments as in configs/pretrain.py, and harmless (share of harmless
comparisons, -1 takes them as they come).

Nano in the lab on 2 CPU cores: 9 minutes in the pipeline, where it has 0.7
of the comparisons; accuracy 0.707 helpful and 0.720 harmless, where the truth
itself reaches 0.736 and 0.723.
"""

from configs import presets
from hh_jax.config import PMConfig


def build(choice: presets.Choice, harmless: float = -1.0) -> PMConfig:
  row_length = presets.short_rows(choice, 1024)  # [§A.2]
  # Deviation: 8 pairs a step on a few thousand real comparisons, because one
  # epoch of 32 [A-2nd] would be too few steps.
  batch_size = 8 if choice.is_small_data else choice.pick(32, 32, 4)
  return PMConfig(
    data=presets.data(
      choice, row_length, batch_size, num_examples=num_comparisons(choice)
    ),
    optimizer=presets.optimizer(
      choice,
      0.01,  # [§3.1]
      0.5,
      'constant',
      nano_schedule='linear',
    ),
    loop=presets.loop(choice),
    harmless_fraction=harmless,
    # Deviation: the LM loss of [A-2nd] keeps what a small model knows, and a
    # reply cannot be judged without it. In the paper it is [unknown].
    lm_coef=1.0 if choice.is_nano and choice.world == 'lab' else 0.0,
    eval_comparisons=choice.pick(4000, 1000, 20),
  )


def num_comparisons(choice: presets.Choice) -> int:
  """Returns how many comparisons are made or read; 0 reads all there are."""
  return choice.pick(180_000, 8000, 120) if choice.world == 'lab' else 0


def get_config(arg: str | None = None):
  return presets.config_of(build, arg, harmless=-1.0)
