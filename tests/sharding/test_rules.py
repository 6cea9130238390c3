import jax
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.models import heads, ladder

CONFIGS = (
  ModelConfig(),
  ModelConfig(
    norm='rms',
    mlp='swiglu',
    qk_norm=True,
    positions='learned',
    tied_embedding=False,
    max_positions=32,
  ),
  ModelConfig(qkv_bias=True, out_bias=True, mlp_bias=True, num_kv_heads=2),
)


def network(config):
  """Shapes of a network with a score head."""

  def build():
    params = ladder.init(ladder.build(config), jax.random.key(0))
    head = heads.init_score_head(jax.random.key(1), config)
    return {**params, 'score_head': head}

  return jax.eval_shape(build)


def paths(tree):
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return [
    (jax.tree_util.keystr(path, simple=True, separator='/'), leaf)
    for path, leaf in leaves
  ]


@pytest.mark.parametrize('config', CONFIGS)
def test_every_leaf_has_exactly_one_rule(config):
  for path, leaf in paths(network(config)):
    assert len(sharding.matching_rules(path)) == 1, path
    axes = sharding.logical_axes(path, leaf.shape)
    assert len(axes) == leaf.ndim, path


def test_every_rule_is_used():
  used = {
    rule
    for config in CONFIGS
    for path, _ in paths(network(config))
    for rule in sharding.matching_rules(path)
  }
  assert used == {pattern for pattern, _ in sharding.RULES}


def test_optimizer_moments_lie_where_their_parameters_do():
  params = {'policy': network(CONFIGS[2]), 'value': network(CONFIGS[1])}
  moments = jax.eval_shape(optax.adamw(1e-3).init, params)
  mesh = jax.sharding.AbstractMesh((1, 2, 2), sharding.MESH_AXES)
  placed = sharding.tree_shardings(params, mesh)
  adam = sharding.tree_shardings(moments, mesh)[0]
  assert adam.mu == placed
  assert adam.nu == placed
  assert adam.count.spec == PartitionSpec()
  kernel = placed['policy']['blocks']['query']['kernel']
  assert kernel.spec == PartitionSpec(None, 'fsdp', 'tensor')


def test_decoding_does_not_split_the_model_axis():
  mesh = jax.sharding.AbstractMesh((1, 2, 2), sharding.MESH_AXES)
  placed = sharding.tree_shardings(network(CONFIGS[0]), mesh, 'decode')
  kernel = placed['blocks']['up']['kernel'].spec
  assert kernel == PartitionSpec(None, None, 'tensor')


def test_unknown_leaf_is_an_error():
  mesh = sharding.make_mesh()
  tree = {'blocks': {'router': {'kernel': jax.numpy.zeros((2, 3))}}}
  with pytest.raises(ValueError, match='blocks/router/kernel.*matches 0'):
    sharding.tree_shardings(tree, mesh)
  wrong = {'blocks': {'up': {'kernel': jax.numpy.zeros((2, 3))}}}
  with pytest.raises(ValueError, match='its rule names axes'):
    sharding.tree_shardings(wrong, mesh)


def test_path_matches_whole_names_only():
  assert sharding.matching_rules('0/mu/embed/embedding')
  assert not sharding.matching_rules('unembed/embedding')
  assert not sharding.matching_rules('embed/embedding_scale')


def test_axis_that_does_not_divide_is_replicated_and_reported(caplog):
  mesh = jax.sharding.AbstractMesh((1, 1, 3), sharding.MESH_AXES)
  tree = {'embed': {'embedding': jax.ShapeDtypeStruct((10, 6), 'float32')}}
  lines = sharding.replicated_axes(tree, mesh)
  assert lines == ['embed/embedding: vocab=10 is replicated']
  placed = sharding.tree_shardings(tree, mesh)['embed']['embedding']
  assert placed.spec == PartitionSpec(None, 'fsdp')
  assert 'vocab=10 is replicated' in caplog.text


def test_activations_that_do_not_divide_are_replicated_and_said(caplog):
  mesh = jax.sharding.AbstractMesh(
    (3, 1, 1), sharding.MESH_AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3
  )
  for _ in range(2):
    with caplog.at_level('INFO'), jax.sharding.use_abstract_mesh(mesh):
      jax.eval_shape(
        lambda x: sharding.constrain(x, 'batch', None),
        jax.ShapeDtypeStruct((7, 2), 'float32'),
      )
  assert caplog.text.count('batch=7 is not divided') == 1


def test_one_device_mesh_has_auto_axes():
  mesh = sharding.make_mesh(1, 1, 1)
  assert mesh.axis_names == ('data', 'fsdp', 'tensor')
  assert mesh.axis_types == (AxisType.Auto,) * 3


def test_errors_name_the_values():
  with pytest.raises(ValueError, match='data=64 fsdp=1 tensor=2 needs 128'):
    sharding.make_mesh(64, 1, 2)
  with pytest.raises(ValueError, match='must be positive'):
    sharding.make_mesh(0, 1, 1)
  with pytest.raises(ValueError, match="layout='serve'"):
    sharding.tree_shardings(
      {'final_norm': {'scale': jax.numpy.zeros(2)}},
      sharding.make_mesh(),
      'serve',
    )
  with pytest.raises(ValueError, match='needs 2 axes'):
    sharding.constrain(jax.numpy.zeros((2, 2)), 'batch')
  with pytest.raises(ValueError, match="unknown activation axes \\['model'\\]"):
    sharding.constrain(jax.numpy.zeros((2,)), 'model')
