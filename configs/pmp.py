"""Preference-model pretraining on ranked answers (section A.2).

  python -m experiments.pmp --config=configs/pmp.py:world=lab,size=nano \
    --config.init_from=runs/pretrain --workdir=runs/pmp

Arguments as in configs/pretrain.py.
"""

from configs import presets
from hh_jax.config import PMPConfig, parse_arg, to_config_dict


def build(choice: presets.Choice) -> PMPConfig:
  row_length = presets.short_rows(choice, 1024)  # [§A.2]
  return PMPConfig(
    data=presets.data(
      choice, row_length, choice.pick(32 if choice.is_small_data else 64, 64, 4)
    ),
    optimizer=presets.rate(choice, 0.1, 0.5, 'constant'),  # [§A.2]
    loop=presets.loop(choice),
    # Web answers are long: at nano size on real text one pair of each.
    num_posts=choice.pick(1600 if choice.is_small_data else 16_000, 2000, 20),
    pairs_per_post=1 if choice.is_small_data else choice.pick(3, 3, 1),
  )


def get_config(arg: str | None = None):
  choice = presets.Choice(**parse_arg(arg, **presets.ARGUMENTS))
  return to_config_dict(build(choice))
