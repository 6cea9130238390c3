"""What processes of one run do together; several are in tests/end_to_end."""

import jax.numpy as jnp
import pytest

from hh_jax.training import distributed


def test_a_process_alone_waits_for_nobody():
  assert distributed.is_first()
  distributed.wait('here')
  params = {'w': jnp.ones(3)}
  assert distributed.own_copy(params) is params


def test_equal_configs_are_let_pass():
  distributed.require_same('config')


def test_another_config_is_refused(monkeypatch):
  from jax.experimental import multihost_utils

  def gather(own):
    other = own.copy()
    other[0] ^= 1
    return jnp.stack([jnp.asarray(own), jnp.asarray(other)])

  monkeypatch.setattr(multihost_utils, 'process_allgather', gather)
  with pytest.raises(ValueError, match='process 1 was started with another'):
    distributed.require_same('config')


def test_a_coordinator_that_nobody_is_at(monkeypatch):
  def initialize(*args, **kwargs):
    raise RuntimeError('deadline exceeded')

  monkeypatch.setattr(distributed.jax.distributed, 'initialize', initialize)
  with pytest.raises(ValueError, match='process 1 of 2 found no others at h:1'):
    distributed.join('h:1', 2, 1)
