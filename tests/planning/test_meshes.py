"""Slices, meshes and what is refused on paper."""

import dataclasses

import pytest

from hh_jax.config import (
  DataConfig,
  LoopConfig,
  ModelConfig,
  PretrainConfig,
  RLHFConfig,
)
from hh_jax.models.sizes import model_config
from hh_jax.planning import (
  describe,
  ledger,
  meshes,
  roofline,
  search,
  topology,
)

V5P = topology.parse('v5p:4x4x4')
RATES = roofline.Rates(V5P.chip, V5P.shape)
LARGE = model_config('13b', compute_dtype='bfloat16', remat=True)


def pretrain(rows=256, model=LARGE, **mesh):
  data = DataConfig(batch_size=rows, row_length=8192)
  return PretrainConfig(model=model, data=data, loop=LoopConfig(**mesh))


@pytest.mark.parametrize(
  ('name', 'says'),
  [
    ('v5q:2x2x1', "no chip 'v5q'; did you mean 'v5p'"),
    ('v5p', 'has no size; for example v5p:4x4x4'),
    ('v5p:2x0x1', 'has no size'),
    ('v5p:4x4', 'has 2 axes, and slices of v5p have 3'),
    ('v5p:3x5x7', "there is no slice 'v5p:3x5x7'"),
    ('v5e:32x32', 'up to 16 chips, 256 in all'),
  ],
)
def test_slices_that_do_not_exist(name, says):
  with pytest.raises(ValueError, match=says):
    topology.parse(name)


def test_slices_that_do():
  assert topology.parse('v5p:8x8x8').num_chips == 512
  assert topology.parse('v6e:4x4').chip.name == 'TPU v6e'
  assert topology.parse('h100:64').num_chips == 64


def test_a_group_spans_as_few_axes_of_the_torus_as_hold_it():
  chip = V5P.chip
  one, two, three = (
    chip.bandwidth_of(range(n), (4, 4, 4)) for n in (4, 16, 64)
  )
  assert (two, three) == (2 * one, 3 * one)


def test_gpus_of_several_nodes_share_what_leaves_a_node():
  chip = topology.parse('h100:64').chip

  def bandwidth(*group):
    return chip.bandwidth_of(range(*group), (64,))

  assert bandwidth(8) == bandwidth(0, 8, 4) == chip.link
  assert bandwidth(64) == chip.network  # one ring leaves a node
  assert bandwidth(0, 64, 4) == chip.network / 4
  # With fsdp=8 a group along data is eight GPUs of eight nodes.
  assert bandwidth(0, 64, 8) == bandwidth(0, 256, 32) == chip.network / 8


@pytest.mark.parametrize(
  ('name', 'says'),
  [('v5p:4x4x4', 'of the 4x4x4 torus'), ('h100:64', 'a node of 8 GPUs')],
)
def test_what_is_assumed_of_the_network_is_of_the_chip(name, says):
  there = topology.parse(name)
  rates = roofline.Rates(there.chip, there.shape)
  assert any(says in line for line in rates.assumptions())


def test_a_sum_over_data_of_gpus_crosses_the_network():
  there = topology.parse('h100:64')
  rates = roofline.Rates(there.chip, there.shape)
  load = meshes.load_of(pretrain(), LARGE)
  mesh = ledger.Mesh(8, 8, 1)
  (summed,) = (
    one for one in ledger.exchanges(load, mesh) if one.axes == ('data',)
  )
  found = rates.chip.bandwidth_of(summed.members, rates.shape)
  assert found == there.chip.network / 8


@pytest.mark.parametrize(
  ('config', 'says'),
  [
    (pretrain(mesh_fsdp=32), 'has 32 devices and v5p:4x4x4 has 64 chips'),
    (
      pretrain(mesh_fsdp=8, mesh_tensor=8, model=model_config('42m')),
      'does not divide num_heads=6',
    ),
    (pretrain(rows=24, mesh_fsdp=8, mesh_data=1), 'has 8 devices'),
  ],
)
def test_meshes_that_do_not_divide(config, says):
  with pytest.raises(ValueError, match=says):
    meshes.mesh_of(config, config.model, V5P)


def test_rows_of_an_update_are_those_of_a_minibatch():
  config = RLHFConfig(
    data=DataConfig(batch_size=128, row_length=2048),
    loop=LoopConfig(mesh_fsdp=64),
    minibatches=4,
  )
  with pytest.raises(ValueError, match='does not divide the 32 rows'):
    meshes.mesh_of(config, LARGE, V5P)


def test_a_model_that_cannot_fit_is_told_by_how_much_and_what_helps():
  config = pretrain()
  small = topology.parse('v5e:2x2')
  with pytest.raises(ValueError, match=r'more than the 16 of a TPU v5e; \d+'):
    meshes.mesh_of(config, LARGE, small)
  spread = pretrain(mesh_data=64)
  with pytest.raises(ValueError, match='move data=64 to fsdp'):
    meshes.mesh_of(spread, LARGE, V5P)


def test_a_search_proposes_meshes_that_divide_and_the_best_first():
  load = meshes.load_of(pretrain(), LARGE)
  found = search.proposals(64, load, RATES)
  assert len(found) > 10
  for one in found:
    assert one.mesh.size == 64
    assert load.rows % one.mesh.rows == 0
    assert LARGE.num_heads % one.mesh.tensor == 0
  fitting = [one for one in found if one.fits]
  assert fitting and found[: len(fitting)] == fitting
  assert fitting[0].seconds == min(one.seconds for one in fitting)
  mesh, told = meshes.mesh_of(pretrain(), LARGE, V5P)
  assert mesh == fitting[0].mesh and told == found
  first, *lines = describe.proposals(found).splitlines()
  assert first.startswith(f'{len(found)} meshes')
  assert len(lines) == describe.SHOWN
  assert lines[0].strip().startswith(describe.told_mesh(mesh.shape))


def test_state_falls_as_one_over_the_parts():
  load = meshes.load_of(pretrain(), LARGE)
  one = ledger.state_bytes(load, ledger.Mesh(1, 1, 1))
  assert one == pytest.approx(12 * load.num_params)
  for mesh in (ledger.Mesh(1, 64, 1), ledger.Mesh(1, 16, 4)):
    assert ledger.state_bytes(load, mesh) == pytest.approx(one / 64)


def test_recomputing_saves_memory_and_costs_time():
  kept = dataclasses.replace(LARGE, remat=False)
  mesh = ledger.Mesh(1, 64, 1)
  with_it, without = (ledger.Load(m, 64, 8192) for m in (LARGE, kept))
  assert ledger.memory(with_it, mesh) < ledger.memory(without, mesh)
  slow, fast = (ledger.work(w, mesh, RATES) for w in (with_it, without))
  assert slow.seconds > 1.2 * fast.seconds


def test_sampling_needs_room_for_a_copy_of_the_policy():
  config = RLHFConfig(data=DataConfig(batch_size=64, row_length=2048))
  load = meshes.load_of(config, LARGE)
  idle = dataclasses.replace(load, slots=0)
  mesh = ledger.Mesh(1, 16, 1)
  copy = 2 * load.num_params
  assert ledger.memory(load, mesh) >= copy + ledger.state_bytes(load, mesh)
  assert ledger.memory(idle, mesh) < ledger.memory(load, mesh)


def test_a_small_model_is_never_said_to_be_faster_than_the_chip():
  load = ledger.Load(ModelConfig(), 64, 256)
  found = search.proposals(64, load, RATES)
  assert 0 < found[0].mfu < V5P.chip.sustained
