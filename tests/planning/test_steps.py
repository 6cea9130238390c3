"""How often steps run, and what they need, by the config alone."""

import types
from unittest import mock

import jax
import jaxtyping
import pytest

from hh_jax import sharding
from hh_jax.config import (
  DataConfig,
  ModelConfig,
  PMConfig,
  PMPConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.models.sizes import model_config
from hh_jax.planning import (
  collectives,
  describe,
  hlo,
  ledger,
  measure,
  meshes,
  steps,
  topology,
)
from hh_jax.planning.flops import Counter

GIB = 2**30


def data(num_examples=0, **own):
  return DataConfig(world='hh', batch_size=32, num_examples=num_examples, **own)


def step_of(rows=8, **own):
  return steps.StageStep(
    name='decode',
    lower=lambda: pytest.fail('nothing is compiled'),
    held={'weights': {}},
    rows=rows,
    context=64,
    tokens=8,
    flops=1.0,
    runs=1,
    **own,
  )


@pytest.mark.parametrize(
  ('config', 'updates'),
  [
    (PMConfig(data=data(1000, test_fraction=0.1)), 29),  # 900, the last short
    (PMConfig(data=data(1000, test_fraction=0.1, span_end=0.5)), 15),
    (PMConfig(data=data(1000), num_comparisons=320), 10),
    (PMConfig(data=data()), None),
    (PMPConfig(data=data(test_fraction=0.0), num_posts=80, binary=False), 10),
    (PMPConfig(data=data(test_fraction=0.0), num_posts=80, binary=True), 20),
    (PMPConfig(data=data(), num_posts=0), None),
  ],
)
def test_updates_of_the_one_epoch(config, updates):
  assert steps.updates_of(config) == updates


@pytest.fixture
def without_arrays(monkeypatch):
  """Shapes stand where arrays are declared, so that types are not checked."""
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)


def steps_of(config):
  made = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  with jax.set_mesh(made):
    return {
      step.name: step for step in steps.of_stage(config, ModelConfig(), made)
    }


@pytest.mark.parametrize('is_shared', [False, True])
@pytest.mark.usefixtures('without_arrays')
def test_a_policy_that_reads_replies_again_reads_their_logits(is_shared):
  shape = {
    'data': DataConfig(batch_size=4, row_length=64),
    'minibatches': 2,
    'sampling': SamplingConfig(max_new_tokens=16),
    'share_trunk': is_shared,
    'value_init': 'policy',
  }
  twice, once = (
    steps_of(RLHFConfig(recompute_log_probs=again, **shape))['score'].flops
    for again in (True, False)
  )
  count = Counter(ModelConfig())
  # A shared trunk reads the replies for its values anyway.
  body = 0 if is_shared else count.pass_over(0, 64)
  assert twice - once == 2 * (body + count.logits(16))


@pytest.mark.usefixtures('without_arrays')
def test_an_lm_loss_reads_logits():
  configs = [
    PMConfig(data=DataConfig(batch_size=4, row_length=64), lm_coef=coef)
    for coef in (1.0, 0.0)
  ]
  with_it, without = (steps_of(config)['update'].flops for config in configs)
  logits = Counter(ModelConfig()).logits(63)
  assert with_it - without == 3 * 4 * logits
  loads = [meshes.load_of(config, ModelConfig()) for config in configs]
  assert [load.positions for load in loads] == [4 * 64, 0]


def test_logits_as_wide_as_the_network_are_said_not_to_be_seen():
  step = step_of(is_training=False)
  model = model_config('52b')
  gathered = hlo.Shape('f32', (512, 8192))

  def warnings(tensor):
    mesh = ledger.Mesh(1, 8, tensor)
    one = collectives.Collective(
      'all-gather', (gathered,), range(8), ('fsdp',), 1, 0, ''
    )
    there = topology.parse('v5p:4x4x4')
    setting = measure.Setting(there, mesh, model)
    return measure.warnings(step, setting, [one])

  assert any('both have 8192 columns' in line for line in warnings(8))
  assert not any('columns' in line for line in warnings(4))


def test_what_is_not_known_has_no_price():
  plan = {'chip_hours': None, 'unpriced': ['num_posts=0 takes all there are']}
  told = describe.cost(plan, price=2.0)
  assert told == 'stage: chip-hours not known: num_posts=0 takes all there are'
  known = describe.cost({'chip_hours': 10.0, 'unpriced': []}, price=2.0)
  assert known == 'stage: 10.0 chip-hours, 20 at 2 each'


def test_a_step_that_does_not_fit_says_by_how_much_and_what_helps():
  step = step_of(smaller='lower sampling.slots')
  row = {
    'step': 'decode',
    'rows': 8,
    'context': 64,
    'parameters': 1,
    'memory': {},
    'memory_total': 7 * GIB,
    'memory_chip': 4 * GIB,
    'warnings': [],
  }
  row |= measure._fit(step, row['memory_total'], row['memory_chip'])
  assert (
    'DOES NOT FIT, by 3.00 GiB; lower sampling.slots or take more chips'
    in describe.step(row)
  )
  assert row['unpriced'] == 'decode does not fit'
  assert measure._fit(step, 4 * GIB, 4 * GIB)['fits']


@pytest.mark.parametrize(
  ('message', 'needs'),
  [
    (
      'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory '
      'in memory space hbm. Used 115.31G of 95.74G hbm. Exceeded hbm capacity '
      'by 19.58G.',
      115.31 * GIB,
    ),
    ('RESOURCE_EXHAUSTED: Used 512.0M of 95.74G hbm', 512 * 2**20),
    ('RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes', None),
    ('INTERNAL: Used 115.31G of 95.74G hbm', None),
  ],
)
def test_what_the_compiler_says_it_would_need(message, needs):
  assert measure._needed_memory(message) == needs


def test_the_largest_batch_is_the_largest_that_fits():
  """A cache grows with the slots, though the program does not make it."""
  there = topology.parse('v5p:2x2x1')
  setting = measure.Setting(there, ledger.Mesh(1, 4, 1), ModelConfig())

  def memory(slots):
    held = {'weights': 12 * GIB, 'KV cache': slots * GIB}
    compiled = mock.Mock(spec=jax.stages.Compiled)
    compiled.memory_analysis.return_value = types.SimpleNamespace(
      argument_size_in_bytes=held['weights'],
      output_size_in_bytes=slots * GIB,
      alias_size_in_bytes=slots * GIB,
      temp_size_in_bytes=slots * GIB // 4,
      generated_code_size_in_bytes=0,
    )
    step = step_of(rows=slots, growing=('KV cache',), is_training=False)
    return measure._memory(compiled, held, step, setting)

  largest = memory(8)['largest_rows']
  assert largest == 64  # 4 chips: 12 + 1.25 * 64 of 95 GiB, not 68
  assert memory(largest)['fits']
  assert not memory(2 * largest)['fits']
