"""Preference model on human comparisons, one epoch (sections 3.1 and A.2).

  python -m experiments.pm --config=configs/pm.py:world=lab,size=nano \
    --config.init_from=runs/pmp --workdir=runs/pm

Arguments as in configs/pretrain.py, and harmless (share of harmless
comparisons, -1 takes them as they come).
"""

from configs import presets
from hh_jax.config import PMConfig, parse_arg, to_config_dict


def build(choice: presets.Choice, harmless: float = -1.0) -> PMConfig:
  row_length = presets.short_rows(choice, 1024)  # [§A.2]
  return PMConfig(
    data=presets.data(
      choice,
      row_length,
      choice.pick(32, 32, 4),  # [A-2nd]
      num_examples=choice.pick(48_000, 8000, 120)
      if choice.world == 'lab'
      else 0,
    ),
    optimizer=presets.rate(choice, 0.01, 0.5, 'constant'),  # [§3.1]
    loop=presets.loop(choice),
    harmless_fraction=harmless,
    eval_comparisons=choice.pick(4000, 1000, 20),
  )


def get_config(arg: str | None = None):
  values = parse_arg(arg, harmless=-1.0, **presets.ARGUMENTS)
  harmless = values.pop('harmless')
  return to_config_dict(build(presets.Choice(**values), harmless))
