"""What the sweeps share that turn one knob of RLHF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.sweeps import chain
from hh_jax.launch.sweep import Stage, Value

HELD_OUT_PM = 'held_out_pm'


def to_ablation(
  varied: Mapping[str, Sequence[Value]],
  fixed: Mapping[str, Value] | None = None,
) -> tuple[Stage, ...]:
  """Returns the stages of an ablation of RLHF.

  Each policy is scored by a preference model of the other half of the
  comparisons, too, so that a knob that fools the one that rewards shows.

  Args:
    varied: Key of RLHF's config -> the values it takes.
    fixed: Keys of it that all trials share.
  """
  held_out = Stage(
    'pm', chain.PM_FROM, fixed={'data.span_start': 0.5}, name=HELD_OUT_PM
  )
  rlhf = Stage(
    'rlhf',
    {**chain.POLICY_FROM, 'held_out_pm_from': HELD_OUT_PM},
    varied=varied,
    fixed=fixed or {},
  )
  *before, distill, last = chain.to_rlhf(rlhf)
  pm = Stage('pm', chain.PM_FROM, fixed={'data.span_end': 0.5})
  return (*before[:-1], pm, held_out, distill, last)
