"""From the configs of policies to policies; jax is loaded only for runs."""

from __future__ import annotations

from collections.abc import Sequence

from hh_jax.config.feedback import (
  BestOfConfig,
  CannedConfig,
  CheckpointConfig,
  HTTPConfig,
  PolicyConfig,
)
from hh_jax.feedback.policies.canned import CannedPolicy
from hh_jax.feedback.policies.protocol import Policy
from hh_jax.stages import inputs

_WRITERS = ('distill', 'pretrain', 'public', 'rlhf')  # stages that reply
_JUDGES = ('pm', 'pmp')


def require(configs: Sequence[PolicyConfig]) -> None:
  """Raises ValueError where a run is missing or not of a fitting stage."""
  for config in configs:
    if isinstance(config, CheckpointConfig):
      inputs.describe_as(config.run, 'run', _WRITERS)
    if isinstance(config, BestOfConfig):
      inputs.describe_as(config.pm, 'pm', _JUDGES)


def build(configs: Sequence[PolicyConfig]) -> list[Policy]:
  """Returns the policies, with their runs loaded.

  Raises:
    ValueError: A run is missing, damaged or of another kind.
  """
  return [_build(config) for config in configs]


def _build(config: PolicyConfig) -> Policy:
  if isinstance(config, CannedConfig):
    return CannedPolicy(config)
  if isinstance(config, HTTPConfig):
    from hh_jax.feedback.policies.remote import RemotePolicy

    return RemotePolicy(config)
  from hh_jax.feedback.policies import checkpoint

  if isinstance(config, BestOfConfig):
    return checkpoint.BestOfPolicy(config)
  return checkpoint.CheckpointPolicy(config)
