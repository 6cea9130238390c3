"""Reading a program that the TPU compiler printed (`golden/make_loop.py`).

Three layers of 256 x 256 over 512 rows, weights and rows split over four chips,
and the gradient: a loop forward and a loop back, of three rounds each.
"""

import pathlib

import pytest

from hh_jax.planning import chips, collectives, cost, hlo, roofline

TEXT = (pathlib.Path(__file__).parent / 'golden/loop.hlo').read_text()
MESH = {'data': 1, 'fsdp': 4, 'tensor': 1}
WEIGHT = 256 * 256 * 2  # bytes
PRODUCT = 2 * 128 * 256 * 256  # operations of a layer on the rows of a chip


@pytest.fixture(scope='module')
def program():
  return hlo.parse(TEXT)


def test_loops_run_as_often_as_their_conditions_say(program):
  loops = [s for s in program.steps() if s.instruction.opcode == 'while']
  assert [program.trip_count(loop.instruction) for loop in loops] == [3, 3]


def test_a_number_that_the_text_does_not_say_is_the_callers():
  unknown = TEXT.replace('constant(3)', 'parameter(0)')
  program = hlo.parse(unknown, trips=7)
  loops = [s for s in program.steps() if s.instruction.opcode == 'while']
  assert {program.trip_count(loop.instruction) for loop in loops} == {7}


def test_operations_of_all_rounds(program):
  flops = sum(cost.flops(program, s) * s.times for s in program.steps())
  assert flops == 3 * 3 * PRODUCT  # forward, and twice back


def test_weights_are_gathered_and_gradients_scattered(program):
  found = collectives.find(program, MESH)
  table = collectives.totals(found)
  others = 3 / 4
  assert table == {
    'all-gather': {'number': 6, 'bytes': 6 * others * WEIGHT},
    'reduce-scatter': {'number': 3, 'bytes': 3 * others * WEIGHT},
  }
  assert {one.axes for one in found} == {('fsdp',)}
  assert all(one.depth == 1 for one in found)


def test_bytes_count_what_is_cut_out_not_what_it_is_cut_from(program):
  """One layer of three is read, and the gradient of one is written."""
  by_name = {s.instruction.name: s for s in program.steps()}
  part = WEIGHT / 4
  write = by_name['bitcast_dynamic-update-slice_fusion.9']
  assert 2 * part <= cost.traffic(program, write) <= 2 * part + 64
  # The weights are in the chip's own memory all along.
  assert cost.traffic(program, by_name['constant_dynamic-slice_fusion.5']) <= 64


def test_time_adds_up_and_overlaps(program):
  rates = roofline.Rates(chips.CHIPS['TPU v5p'], (2, 2, 1))
  found = collectives.find(program, MESH)
  work = roofline.work_of(program, found, rates)
  assert work.flops == 9 * PRODUCT
  assert work.hidden > 0 and work.waited == 0
  assert work.seconds == pytest.approx(
    max(work.computing, work.hidden), rel=1e-9
  )


@pytest.mark.parametrize(
  ('groups', 'members'),
  [
    ('replica_groups={{0,2},{1,3}}', [0, 2]),
    ('replica_groups=[2,2]<=[4]', [0, 1]),
    ('replica_groups=[2,2]<=[2,2]T(1,0)', [0, 2]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [0, 2]),
    ("replica_groups=mesh['a'=2,'b'=2] {'b'}", [0, 1]),
    ('source_target_pairs={{0,1},{1,0}}', [0, 1]),
    ('replica_groups={}', [0, 1, 2, 3]),
  ],
)
def test_groups_in_every_spelling(groups, members):
  text = (
    'ENTRY %main (x: f32[8]) -> f32[8] {\n'
    '  %x = f32[8]{0} parameter(0)\n'
    f'  ROOT %all-reduce = f32[8]{{0}} all-reduce(%x), channel_id=1, {groups}\n'
    '}\n'
  )
  mesh = {'data': 1, 'fsdp': 2, 'tensor': 2}
  (found,) = collectives.find(hlo.parse(text), mesh)
  axes = {(0, 2): ('fsdp',), (0, 1): ('tensor',)}
  assert found.group == len(members)
  assert found.axes == axes.get(tuple(members), ('fsdp', 'tensor'))
  assert found.bytes == 2 * 32 * (found.group - 1) / found.group


@pytest.mark.parametrize(
  ('started', 'received'),
  [
    # Operand, result, and two words that the hardware keeps.
    (
      '(f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%x), '
      'source_target_pairs={{0,1},{1,0}}',
      32,
    ),
    # Results alone, of 32 and 64 bytes.
    (
      '(f32[8]{0}, f32[16]{0}) all-reduce-start(%x, %y), '
      'replica_groups={{0,1},{2,3}}',
      2 * (32 + 64) / 2,
    ),
    # Two operands, and their gathered results.
    (
      '((f32[8]{0}, f32[16]{0}), (f32[16]{0}, f32[32]{0})) '
      'all-gather-start(%x, %y), replica_groups={{0,1},{2,3}}',
      (64 + 128) / 2,
    ),
  ],
  ids=['permute', 'reduce', 'gather'],
)
def test_bytes_of_what_is_started_are_those_of_its_results(started, received):
  text = (
    'ENTRY %main (x: f32[8], y: f32[16]) -> f32[8] {\n'
    '  %x = f32[8]{0} parameter(0)\n'
    '  %y = f32[16]{0} parameter(1)\n'
    f'  ROOT %start = {started}\n'
    '}\n'
  )
  mesh = {'data': 1, 'fsdp': 2, 'tensor': 2}
  (found,) = collectives.find(hlo.parse(text), mesh)
  assert found.bytes == received


def test_a_dot_of_a_cpu():
  text = (
    'ENTRY %main (x: f32[4,8], y: f32[8,16]) -> f32[4,16] {\n'
    '  %x = f32[4,8]{1,0} parameter(0)\n'
    '  %y = f32[8,16]{1,0} parameter(1)\n'
    '  ROOT %dot = f32[4,16]{1,0} dot(%x, %y), lhs_contracting_dims={1}, '
    'rhs_contracting_dims={0}\n'
    '}\n'
  )
  program = hlo.parse(text)
  (step,) = [s for s in program.steps() if s.instruction.opcode == 'dot']
  assert cost.flops(program, step) == 2 * 4 * 8 * 16
  assert cost.traffic(program, step) == 4 * (4 * 8 + 8 * 16 + 4 * 16)


def test_text_without_a_program_is_refused():
  with pytest.raises(ValueError, match='no entry computation'):
    hlo.parse('HloModule empty\n')
