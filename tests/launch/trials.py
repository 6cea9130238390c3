"""Sweeps and trials for tests."""

import dataclasses
import sys

from hh_jax.launch import sweep as sweep_lib
from hh_jax.launch.sweep import Stage, Sweep, Trial

SMOKE = {'world': 'lab', 'scale': 'smoke'}
CHAIN = Sweep(
  stages=(
    Stage('pretrain'),
    Stage('pmp', {'init_from': 'pretrain'}),
    Stage('pm', {'init_from': 'pmp'}, varied={'harmless_weight': (1.0, 4.0)}),
  ),
  sizes=('nano0', 'nano1'),
  seeds=(0, 1),
  arguments=SMOKE,
)


@dataclasses.dataclass(frozen=True)
class FakeTrial(Trial):
  """A trial whose process is any Python code."""

  code: str = ''

  def command(self, python=sys.executable):
    return [python, '-c', self.code]


# What a finished stage leaves, in a fraction of a second.
FINISH = """
import json, os, pathlib
folder = pathlib.Path({workdir!r})
folder.mkdir(parents=True, exist_ok=True)
(folder / 'DONE').write_text(json.dumps(
  {{'line': 'finished', 'steps': 3, 'state_sha256': 'f', **{values!r}}}
))
"""


def fake(folder, name, code=None, starts=(), values=None, **fields):
  """A trial in `folder` that runs `code`, or else finishes at once."""
  workdir = str(folder / name)
  finish = FINISH.format(workdir=workdir, values=values or {})
  return FakeTrial(
    name=name,
    stage=name.partition('-')[0],
    script='pm',
    axes={'size': 'nano0', 'seed': 0},
    flags=(),
    workdir=workdir,
    starts={f'start{i}_from': start for i, start in enumerate(starts)},
    code=finish if code is None else code.replace('FINISH', finish),
    **fields,
  )


def expand(sweep=CHAIN, workdir='runs/sweep', flags=()):
  return {t.name: t for t in sweep_lib.expand(sweep, workdir, flags)}
