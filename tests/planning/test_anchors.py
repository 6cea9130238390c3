"""Published speeds, predicted by the account on paper that proposes meshes."""

import json
import pathlib

import pytest

from hh_jax.config import ModelConfig
from hh_jax.planning import chips, ledger, roofline
from hh_jax.planning.flops import Counter

ANCHORS = json.loads(
  pathlib.Path(__file__).with_name('anchors.json').read_text()
)
WITHIN = 0.25


def name_of(anchor):
  return f'{anchor["name"]}, {anchor["chip"]}'


@pytest.mark.parametrize('anchor', ANCHORS['steps'], ids=name_of)
def test_published_training_steps(anchor):
  model = ModelConfig(
    num_layers=anchor['num_layers'],
    model_dim=anchor['model_dim'],
    num_heads=anchor['model_dim'] // 64,
    vocab_size=anchor['vocab_size'],
    compute_dtype='bfloat16',
    remat=anchor['remat'],
  )
  shape = tuple(anchor['shape'])
  mesh = ledger.Mesh(1, 1, 1)
  for size in shape:
    mesh = ledger.Mesh(1, mesh.fsdp * size, 1)
  chip = chips.CHIPS[anchor['chip']]
  load = ledger.Load(model, anchor['rows'], anchor['row_length'])
  work = ledger.work(load, mesh, roofline.Rates(chip, shape))
  attention = 4 * model.num_layers * model.model_dim * load.row_length
  needed = 3 * load.tokens * (2 * load.num_params + attention)
  found = roofline.mfu(needed, work.seconds, mesh.size, chip)
  assert found == pytest.approx(anchor['mfu'], rel=WITHIN)


@pytest.mark.parametrize('anchor', ANCHORS['decoding'], ids=name_of)
def test_published_decoding(anchor):
  names = 'num_layers model_dim num_heads num_kv_heads ffn_dim mlp vocab_size'
  model = ModelConfig(
    **{name: anchor[name] for name in names.split()}, compute_dtype='bfloat16'
  )
  chip = chips.CHIPS[anchor['chip']]
  found = 256 / Counter(model).decode_seconds([128], 256, 1, chip)
  assert found == pytest.approx(anchor['tokens_per_second'], rel=WITHIN)
