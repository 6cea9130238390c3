"""Preference-model pretraining on ranked answers (section A.2).

  python -m experiments.pmp --config=configs/pmp.py:world=lab,size=nano \
    --config.init_from=runs/pretrain --workdir=runs/pmp

Arguments as in configs/pretrain.py.

Nano in the lab on 2 CPU cores: 5 minutes, 0.85 of held-out pairs
ordered as ranked.
"""

from configs import presets
from hh_jax.config import PMPConfig


def build(choice: presets.Choice) -> PMPConfig:
  row_length = presets.short_rows(choice, 1024)  # [§A.2]
  warmup_steps = (20 if choice.is_small_data else 50, 20, 0)
  batch_size = choice.pick(16 if choice.is_small_data else 64, 64, 4)
  return PMPConfig(
    data=presets.data(choice, row_length, batch_size),
    optimizer=presets.optimizer(
      choice,
      0.1,  # [§A.2]
      1.0,
      'constant',
      choice.pick(*warmup_steps) if choice.is_nano else 0,
      nano_schedule='linear',
    ),
    loop=presets.loop(choice),
    num_posts=num_posts(choice),
    pairs_per_post=choice.pick(3, 3, 1),
    # Deviation: votes in the lab are few and linear in utility, and their
    # logarithm would tie most answers.
    log_votes=choice.world != 'lab',
    # Deviation: nano rungs learn ranked pairs, with an LM loss. A label in
    # front of an answer asks them for an exclusive or, and without the LM loss
    # they forget what makes an answer right (benchmarks/NOTES.md).
    binary=not choice.is_nano,
    lm_coef=1.0 if choice.is_nano else 0.0,
  )


def num_posts(choice: presets.Choice) -> int:
  """Returns how many questions are made or read; 0 reads all there are."""
  if choice.world == 'hh' and choice.scale == 'full':
    return 0
  return choice.pick(32_000, 2000, 20)


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
