import math
import subprocess
import sys

import jax
import pytest

from hh_jax.models import ladder, sizes

BLOCK_MATRICES = ('query', 'key', 'value', 'out', 'up', 'down')
# Weights of the block matrices as section 3.1 names them.
PAPER = {
  '13m': 12_582_912,
  '42m': 42_467_328,
  '197m': 196_608_000,
  '810m': 805_306_368,
  '2.7b': 2_717_908_992,
  '13b': 12_582_912_000,
  '52b': 51_539_607_552,
}


@pytest.mark.parametrize('name', sizes.SIZES)
def test_block_matrices_hold_12_l_d2_weights(name):
  cfg = sizes.model_config(name, scan_unroll=1)
  model = ladder.build(cfg)
  params = jax.eval_shape(lambda: ladder.init(model, jax.random.key(0)))
  counted = sum(
    math.prod(params['blocks'][matrix]['kernel'].shape)
    for matrix in BLOCK_MATRICES
  )
  assert counted == 12 * cfg.num_layers * cfg.model_dim**2
  assert counted == cfg.num_block_params
  assert counted == PAPER.get(name, counted)
  vocab = 65_536 if name in PAPER else 4_096
  assert params['embed']['embedding'].shape == (vocab, cfg.model_dim)
  assert 'unembed' not in params


def test_ladder_keeps_the_aspect_ratio_and_the_width_of_heads():
  for name in sizes.LADDER:
    cfg = sizes.model_config(name)
    assert cfg.model_dim == 128 * cfg.num_layers
    assert cfg.width_of_head == 128
    assert cfg.scan_unroll == (cfg.num_layers if cfg.num_layers <= 10 else 1)
  assert sizes.model_config('nano') == sizes.model_config('nano2')


def test_overrides_replace_fields_and_unrolling_follows_the_depth():
  cfg = sizes.model_config('nano0', num_layers=5, vocab_size=300)
  assert (cfg.num_layers, cfg.vocab_size, cfg.scan_unroll) == (5, 300, 5)
  assert sizes.model_config('52b', num_layers=3).scan_unroll == 3
  assert sizes.model_config('13m', scan_unroll=2).scan_unroll == 2


@pytest.mark.parametrize(
  ('name', 'nearest'),
  [('12b', '13b'), ('3b', '2.7b'), ('100m', '197m'), ('nano4', 'nano')],
)
def test_unknown_size_names_the_nearest(name, nearest):
  with pytest.raises(ValueError, match=f"nearest is '{nearest}"):
    sizes.model_config(name)


def test_unknown_field_names_the_nearest():
  with pytest.raises(ValueError, match="nearest is 'num_layers'"):
    sizes.model_config('nano', num_layer=3)


def test_table_is_read_without_jax():
  code = (
    'import sys; from hh_jax.models import sizes; '
    "sizes.model_config('52b'); sys.exit('jax' in sys.modules)"
  )
  assert (
    subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
  )
