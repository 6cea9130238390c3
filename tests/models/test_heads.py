import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.config import ModelConfig
from hh_jax.models import heads

CONFIG = ModelConfig(model_dim=512, num_heads=4)


def params():
  return {'score_head': heads.init_score_head(jax.random.key(0), CONFIG)}


def test_first_scores_of_unit_states_have_unit_spread():
  head = params()['score_head']
  assert head['kernel'].shape == (512, 1)
  np.testing.assert_array_equal(head['bias'], [0.0])
  np.testing.assert_allclose(head['kernel'].std(), 513**-0.5, rtol=0.1)


def test_scores_are_read_at_the_index_and_absent_ones_are_zero():
  tree = params()
  tree['score_head']['bias'] = jnp.array([0.5])
  hidden = jax.random.normal(jax.random.key(1), (2, 3, 512))
  index = jnp.array([[4, -1], [0, 5]], jnp.int32)
  scores = np.asarray(heads.scores_at(tree, hidden, index))
  rows = np.asarray(hidden, np.float64).reshape(6, 512)
  kernel = np.asarray(tree['score_head']['kernel'], np.float64)[:, 0]
  expected = rows @ kernel + 0.5
  np.testing.assert_allclose(
    scores, [[expected[4], 0.0], [expected[0], expected[5]]], rtol=1e-4
  )
  values = heads.values(tree, hidden)
  assert values.shape == (2, 3)
  np.testing.assert_allclose(values.reshape(-1), expected, rtol=1e-4)


def test_unembedding_is_the_embedding_unless_it_has_its_own():
  tree = {'embed': {'embedding': jnp.ones((4, 2))}}
  assert heads.unembed_matrix(tree) is tree['embed']['embedding']
  tree['unembed'] = {'kernel': jnp.zeros((4, 2))}
  assert heads.unembed_matrix(tree) is tree['unembed']['kernel']
