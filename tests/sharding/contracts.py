"""Plans of small stages on eight virtual devices, as JSON.

Run in a process of its own: the number of devices is fixed when jax starts.
"""

import dataclasses
import json
import sys

import jax

from hh_jax import sharding
from hh_jax.config import (
  DataConfig,
  ModelConfig,
  OptimizerConfig,
  PretrainConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.generation import decode
from hh_jax.models import heads, ladder
from hh_jax.planning import abstract, measure, steps, topology
from hh_jax.planning.ledger import Mesh
from hh_jax.stages import session
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from tests.stages import updates

# No two sizes are alike, so that a shape tells what it is of.
MODEL = ModelConfig(
  num_layers=2, model_dim=64, num_heads=8, ffn_dim=192, vocab_size=1536
)
SMALL = ladder.build(
  ModelConfig(num_layers=2, model_dim=32, num_heads=4, vocab_size=64)
)
DATA = DataConfig(batch_size=16, row_length=80)
OPTIMIZER = OptimizerConfig()
PRETRAIN = PretrainConfig(model=MODEL, data=DATA, optimizer=OPTIMIZER)
RLHF = RLHFConfig(
  data=DATA,
  sampling=SamplingConfig(max_new_tokens=16, slots=16),
  minibatches=2,
  optimizer=OPTIMIZER,
)
MESHES = ((1, 2, 1), (1, 4, 1), (1, 8, 1), (2, 2, 2))
CHIPS = topology.parse('h100:8')
QUICK = {'xla_backend_optimization_level': 0}


def quickly(step):
  """The step, compiled with less effort on what is not looked at."""
  lowered = step.lower()

  class Quick:
    def compile(self):
      return lowered.compile(compiler_options=QUICK)

  return dataclasses.replace(step, lower=Quick)


def planned(config, shape, names):
  mesh = Mesh(*shape)
  chips = topology.parse(f'h100:{mesh.size}')
  setting = measure.Setting(chips, mesh, MODEL)
  made = sharding.make_mesh(*shape)
  with jax.set_mesh(made):
    return {
      step.name: measure.measure(quickly(step), setting)
      for step in steps.of_stage(config, MODEL, made)
      if step.name in names
    }


def what_moves():
  """Leaves of a state that an update leaves elsewhere than it found them.

  The next update would be compiled anew for them.
  """
  mesh = sharding.make_mesh(2, 2, 2)
  with jax.set_mesh(mesh):
    step, make_state, batch = updates.pretrain_case(SMALL)
    state = session.place(make_state(), mesh)
    compiled = (
      jax.jit(step, donate_argnums=0)
      .lower(state, *batch)
      .compile(compiler_options=QUICK)
    )
  before = state_lib.leaves_by_path(state)
  after = state_lib.leaves_by_path(compiled.output_shardings[0])
  return [
    path
    for path, leaf in before.items()
    if not after[path].is_equivalent_to(leaf.sharding, leaf.ndim)
  ]


def decoding_layout():
  """Whether the abstract copy to decode with lies where the real one does."""
  mesh = sharding.make_mesh(2, 2, 2)
  with jax.set_mesh(mesh):
    params = abstract.placed(abstract.params_of(MODEL), mesh)
    compiled = decode.for_decoding.lower(ladder.build(MODEL), params).compile(
      compiler_options=QUICK
    )
    wanted = state_lib.leaves_by_path(abstract.for_decoding(MODEL, mesh))
    made = state_lib.leaves_by_path(compiled.output_shardings)
  return [
    path
    for path, leaf in wanted.items()
    if not made[path].is_equivalent_to(leaf.sharding, leaf.ndim)
  ]


def gathers_everything():
  """Warnings of an update that makes whole logits and a whole moment."""
  mesh = Mesh(1, 8, 1)
  setting = measure.Setting(CHIPS, mesh, MODEL)
  made = sharding.make_mesh(1, 8, 1)
  tx = optimizer.make_optimizer(OPTIMIZER, MODEL, 10)

  def step(state, batch):
    hidden = ladder.forward(ladder.build(MODEL), state.params, batch).hidden
    logits = hidden.reshape(-1, 64) @ heads.unembed_matrix(state.params).T
    logits = sharding.constrain(logits, 'batch', None)
    whole = jax.lax.with_sharding_constraint(logits, jax.P())
    moment = state.opt_state[1].mu['blocks']['up']['kernel']
    return whole, jax.lax.with_sharding_constraint(2 * moment, jax.P())

  with jax.set_mesh(made):
    (good,) = steps.of_stage(PRETRAIN, MODEL, made)
    state = jax.eval_shape(
      lambda p: state_lib.init_state(p, tx), abstract.params_of(MODEL)
    )
    state = abstract.placed(state, made)
    batch = good.held['batch']
    bad = dataclasses.replace(
      good, lower=lambda: jax.jit(step).lower(state, batch)
    )
    return measure.measure(quickly(bad), setting)['warnings']


def main():
  results = {
    'pretrain': {str(m): planned(PRETRAIN, m, ['update']) for m in MESHES},
    'rlhf': planned(RLHF, (2, 2, 2), ['decode', 'update']),
    'moved': what_moves(),
    'misplaced': decoding_layout(),
    'bad': gathers_everything(),
  }
  json.dump(results, sys.stdout)


if __name__ == '__main__':
  main()
