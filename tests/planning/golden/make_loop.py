"""Compiles three layers under gradient for four TPUs; prints the program.

  python tests/planning/golden/make_loop.py > tests/planning/golden/loop.hlo

Needs libtpu (extra `plan`). Notes of the scheduler are left out.
"""

import re

from hh_jax.planning import topology as topology_lib


def main():
  topology = topology_lib.parse('v5p:2x2x1')
  topology_lib.prepare(topology)
  import jax
  import jax.numpy as jnp
  from jax.sharding import NamedSharding, PartitionSpec

  from hh_jax import sharding

  mesh = sharding.make_mesh(fsdp=4, devices=topology.devices())

  def loss(weights, rows):
    def layer(x, w):
      return jnp.tanh(x @ w), None

    return jnp.sum(jax.lax.scan(layer, rows, weights)[0])

  def of(shape, *spec):
    where = NamedSharding(mesh, PartitionSpec(*spec))
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=where)

  weights = of((3, 256, 256), None, 'fsdp')
  step = jax.jit(jax.grad(loss), out_shardings=weights.sharding)
  text = step.lower(weights, of((512, 256), 'fsdp')).compile().as_text()
  text = re.sub(r', backend_config=\{.*$', '', text, flags=re.M)
  text = re.sub(
    r', metadata=\{(op_name="[^"]*")[^}]*\}', r', metadata={\1}', text
  )
  lines = text.splitlines()
  start = next(n for n, line in enumerate(lines) if line.startswith('%'))
  print(f'HloModule {step.__name__}, is_scheduled=true\n')
  print('\n'.join(lines[start:]))


if __name__ == '__main__':
  main()
