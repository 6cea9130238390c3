"""With the real compiler, where it is installed (extra `plan`)."""

import os
import pathlib
import subprocess
import sys

import pytest

from hh_jax.planning import collectives, cost, hlo

pytest.importorskip(
  'libtpu', reason='compiling for TPUs needs libtpu: the extra `plan`'
)
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
MESH = {'data': 1, 'fsdp': 4, 'tensor': 1}


def test_the_recorded_program_is_what_the_compiler_makes_today():
  golden = ROOT / 'tests/planning/golden'
  done = subprocess.run(
    [sys.executable, str(golden / 'make_loop.py')],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    check=True,
  )
  now, then = (
    hlo.parse(text) for text in (done.stdout, (golden / 'loop.hlo').read_text())
  )
  tables = [collectives.totals(collectives.find(p, MESH)) for p in (now, then)]
  flops = [
    sum(cost.flops(p, s) * s.times for s in p.steps()) for p in (now, then)
  ]
  assert tables[0] == tables[1]
  assert flops[0] == flops[1]
