"""The plan of a stage: every step lowered under a mesh, compiled, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.planning import ledger, measure, steps
from hh_jax.planning.meshes import StageConfig
from hh_jax.planning.topology import CANNOT_KNOW, Topology


def make(
  config: StageConfig,
  model: ModelConfig,
  topology: Topology,
  mesh: ledger.Mesh,
  tell: Callable[[measure.Row], None] = lambda row: None,
) -> dict[str, Any]:
  """Compiles the steps of a stage and puts together its plan.

  Args:
    config: Of the stage.
    model: Its network.
    topology: The slice of chips.
    mesh: From `meshes.mesh_of`.
    tell: Called with each row as soon as it is there.
  """
  setting = measure.Setting(topology, mesh, model)
  made = sharding.make_mesh(**mesh.shape, devices=topology.devices())
  rows = []
  with jax.set_mesh(made):
    for step in steps.of_stage(config, model, made):
      rows.append(measure.measure(step, setting))
      tell(rows[-1])
  unpriced = [row['unpriced'] for row in rows if row['unpriced']]
  return {
    'topology': topology.name,
    'chip': topology.chip.name,
    'num_chips': topology.num_chips,
    'mesh': mesh.shape,
    'model': dataclasses.asdict(model),
    'compiler': topology.compiler,
    'steps': rows,
    'chip_hours': None if unpriced else sum(row['chip_hours'] for row in rows),
    'unpriced': unpriced,
    'assumptions': setting.rates.assumptions(),
    'unknown': [] if topology.has_compiler else [CANNOT_KNOW],
  }
