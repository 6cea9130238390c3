import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import ModelConfig
from hh_jax.generation import prompts as prompts_lib
from hh_jax.types import KVCache

CONFIG = ModelConfig(num_layers=2, model_dim=8, num_heads=2, vocab_size=13)
K = 2  # samples of a prompt
ROOM = prompts_lib.Room(num_places=3, num_samples=K, capacity=6)


def prompts(*numbers):
  """Prompts whose keys are their number and values its negative."""
  shape = (len(numbers), 2, 4, 4)
  keys = jnp.broadcast_to(
    jnp.asarray(numbers, float)[:, None, None, None], shape
  )
  length = jnp.asarray([1 + n % 4 for n in numbers], jnp.int32)
  return KVCache(keys=(keys,) * 2, values=(-keys,) * 2, length=length)


def put(shared, numbers, places, slots):
  return prompts_lib.put(
    shared, prompts(*numbers), jnp.asarray(places), jnp.asarray(slots)
  )


@pytest.fixture
def shared():
  """Prompt 7 in place 2 with slots 0 and 3, prompt 5 in 0 with 4 and 1."""
  empty = prompts_lib.empty(CONFIG, 5, ROOM)
  return put(empty, (7, 5), (2, 0), (0, 3, 4, 1))


def read(shared, slot):
  """What a slot reads: number, its sign in the values, length, sample."""
  place, sample = divmod(int(shared.member[slot]), K)
  assert int(shared.rows[place, sample]) == slot
  keys, values = shared.keys[1][place], shared.values[1][place]
  return float(keys[0, 0, 0]), float(values[1, 3, 0]), int(shared.length[place])


def test_every_slot_reads_its_prompt(shared):
  assert shared.capacity == 6
  assert [read(shared, slot) for slot in (0, 3)] == [(7, -7, 4)] * 2
  assert [read(shared, slot) for slot in (4, 1)] == [(5, -5, 2)] * 2


def test_a_place_is_taken_over_while_the_other_goes_on(shared):
  later = put(shared, (6, 9), (2, 3), (3, 2, 5, 5))  # the second is a dummy
  assert [read(later, slot) for slot in (3, 2)] == [(6, -6, 3)] * 2
  assert [read(later, slot) for slot in (4, 1)] == [(5, -5, 2)] * 2
  assert not (np.asarray(later.keys[0]) == 9).any()


def test_slots_and_places_that_stay_are_renumbered(shared):
  slots, places = jnp.asarray([1, 3, 0]), jnp.asarray([2, 0])
  kept = prompts_lib.fit(shared, slots, places, 4)
  assert kept.capacity == 4
  assert read(kept, 0) == (5, -5, 2)
  assert [read(kept, slot) for slot in (1, 2)] == [(7, -7, 4)] * 2
  assert int(kept.rows[1, 0]) == 3  # slot 4 is gone
  assert all(x.is_deleted() for x in (*shared.keys, *shared.values))


def test_a_slot_that_lost_its_prompt_reads_what_there_is(shared):
  slots = jnp.asarray([1, 3, 0])
  lost = prompts_lib.fit(shared, slots, jnp.asarray([0]), 4)
  assert read(lost, 0) == (5, -5, 2)
  assert (np.asarray(lost.member) < K).all()


def test_shapes_are_those_of_the_cache():
  config = dataclasses.replace(CONFIG, num_kv_heads=1, cache_dtype='bfloat16')
  shapes = prompts_lib.empty(config, 5, ROOM)
  assert shapes.keys[0].shape == (3, 1, 6, 4)
  assert shapes.values[1].dtype == jnp.bfloat16
  assert shapes.rows.shape == (3, K)
