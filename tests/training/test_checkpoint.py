import dataclasses
import logging
import random

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.training import checkpoint
from hh_jax.training import state as state_lib
from hh_jax.types import RunState

FINGERPRINT = {'stage': 'pm', 'model': {'layers': 2}, 'span': (0, 1)}
TX = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))


def make_state(step=0):
  params = {
    'blocks': {'kernel': jnp.full((2, 3), step + 0.5, jnp.float32)},
    'low': jnp.full(5, step, jnp.bfloat16),
  }
  state = state_lib.init_state(params, TX, {'kl': jnp.float32(step)})
  return state.replace(step=jnp.int32(step))


def save(workdir, *steps, keep=3, keep_steps=()):
  for step in steps:
    checkpoint.save(
      workdir,
      make_state(step),
      step=step,
      fingerprint=FINGERPRINT,
      keep=keep,
      keep_steps=keep_steps,
    )


def restore(workdir):
  return checkpoint.restore(workdir, make_state(), FINGERPRINT)


def files_of(workdir, step):
  folder = workdir / 'checkpoints' / str(step)
  return sorted(path for path in folder.rglob('*') if path.is_file())


def assert_same(state, step):
  assert state is not None
  expected = make_state(step)
  assert jax.tree.structure(state) == jax.tree.structure(expected)
  assert state_lib.state_sha256(state) == state_lib.state_sha256(expected)


@pytest.fixture
def saved(tmp_path):
  save(tmp_path, 1, 2)
  return tmp_path


def test_nothing_saved_is_a_fresh_start(tmp_path):
  assert restore(tmp_path) is None
  assert not list(tmp_path.iterdir())


def test_newest_step_comes_back_bit_for_bit(saved, monkeypatch):
  state = restore(saved)
  assert_same(state, 2)
  assert all(
    isinstance(leaf, jax.Array) and not leaf.weak_type
    for leaf in jax.tree.leaves(state)
  )
  manifest = checkpoint.read_manifest(saved)
  assert manifest.step == 2
  assert manifest.state_sha256 == state_lib.state_sha256(state)
  assert manifest.tree['params/low'] == ('bfloat16', (5,))
  monkeypatch.chdir(saved)
  assert_same(restore('.'), 2)


def test_shapes_are_enough_to_restore(saved):
  target = jax.eval_shape(lambda: vars(make_state()))
  state = checkpoint.restore(saved, target, FINGERPRINT)
  assert_same(RunState(**state), 2)


def test_a_flipped_bit_in_any_file_falls_back(saved, caplog):
  rng = random.Random(0)
  manifest = saved / 'checkpoints' / '2.manifest.json'
  targets = [*files_of(saved, 2), manifest]
  assert len(targets) > 5
  for path in targets:
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    path.write_bytes(damaged)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
      assert_same(restore(saved), 1)
    assert 'checkpoint 2 is damaged' in caplog.text, path
    path.write_bytes(original)
  assert_same(restore(saved), 2)


def test_missing_extra_and_cut_files_fall_back(saved):
  some = files_of(saved, 2)[0]
  extra = some.with_name('extra')
  original = some.read_bytes()
  some.unlink()
  assert_same(restore(saved), 1)
  some.write_bytes(original)
  extra.write_bytes(b'')
  assert_same(restore(saved), 1)
  extra.unlink()
  some.write_bytes(original[:-1])
  assert_same(restore(saved), 1)
  some.write_bytes(original)
  assert_same(restore(saved), 2)


@pytest.mark.parametrize('kind', ['file', 'folder', 'step', 'manifest'])
def test_links_are_refused_even_to_equal_bytes(saved, tmp_path, kind):
  folder = saved / 'checkpoints'
  path = {
    'file': files_of(saved, 2)[0],
    'folder': folder / '2' / 'd',
    'step': folder / '2',
    'manifest': folder / '2.manifest.json',
  }[kind]
  moved = tmp_path / 'moved'
  path.rename(moved)
  path.symlink_to(moved)
  assert_same(restore(saved), 1)


@pytest.mark.parametrize('size', [0, 1, 100, -1, -3])
def test_cut_manifests_fall_back(saved, size):
  path = saved / 'checkpoints' / '2.manifest.json'
  path.write_bytes(path.read_bytes()[:size])
  if size == -1:  # only the final newline is gone: all that counts is there
    assert_same(restore(saved), 2)
  else:
    assert_same(restore(saved), 1)


def test_a_manifest_of_another_step_does_not_vouch(saved):
  folder = saved / 'checkpoints'
  (folder / '2.manifest.json').write_bytes(
    (folder / '1.manifest.json').read_bytes()
  )
  assert_same(restore(saved), 1)


def test_forged_array_hash_is_caught_after_reading(saved):
  path = saved / 'checkpoints' / '2.manifest.json'
  manifest = checkpoint.read_manifest(saved)
  forged = dataclasses.replace(manifest, state_sha256='0' * 64)
  path.write_text(forged.to_json())
  assert_same(restore(saved), 1)


def test_nothing_verifies_is_an_error(saved):
  for step in (1, 2):
    files_of(saved, step)[0].write_bytes(b'')
  with pytest.raises(ValueError, match=r'verifies \(step 2: .*; step 1: '):
    restore(saved)
  with pytest.raises(ValueError, match='no checkpoint'):
    checkpoint.load_params(saved)


def test_lost_manifests_are_damage_not_a_fresh_start(saved, caplog):
  folder = saved / 'checkpoints'
  (folder / '2.manifest.json').unlink()
  with caplog.at_level(logging.WARNING):
    assert_same(restore(saved), 1)
  assert 'its manifest is missing' in caplog.text
  (folder / '1.manifest.json').unlink()
  with pytest.raises(ValueError, match='its manifest is missing'):
    restore(saved)


def test_a_save_cut_short_does_not_count(tmp_path):
  save(tmp_path, 1)
  folder = tmp_path / 'checkpoints'
  manifest = folder / '1.manifest.json'
  manifest.rename(folder / '1.manifest.json.tmp')
  (folder / '1.saving').touch()
  (folder / '2.orbax-checkpoint-tmp').mkdir()
  (folder / '2.saving').touch()
  assert restore(tmp_path) is None
  save(tmp_path, 2)
  names = {path.name for path in folder.iterdir()}
  assert names == {'2', '2.manifest.json'}
  assert_same(restore(tmp_path), 2)


def test_another_run_is_refused_by_name(saved):
  other = {'stage': 'pm', 'model': {'layers': 3}, 'span': (0, 1)}
  with pytest.raises(ValueError) as caught:
    checkpoint.restore(saved, make_state(), other)
  assert 'model.layers=2 saved, 3 now' in str(caught.value)
  assert 'span' not in str(caught.value)


@pytest.mark.parametrize('change', ['dtype', 'shape', 'missing', 'extra'])
def test_other_arrays_are_refused_not_cast(saved, change):
  state = make_state()
  params = dict(state.params)
  if change == 'dtype':
    params['low'] = params['low'].astype(jnp.float32)
  elif change == 'shape':
    params['low'] = jnp.zeros(4, jnp.bfloat16)
  elif change == 'missing':
    del params['low']
  else:
    params['new'] = jnp.zeros(1)
  name = 'params/new' if change == 'extra' else 'params/low'
  with pytest.raises(ValueError, match=f'{name}: .* saved, .* wanted'):
    checkpoint.restore(saved, state.replace(params=params), FINGERPRINT)


def test_newest_steps_are_kept_and_foreign_files_spared(tmp_path):
  save(tmp_path, 1)
  (tmp_path / 'checkpoints' / '1.backup').mkdir()
  (tmp_path / 'checkpoints' / 'notes.txt').touch()
  save(tmp_path, 2, 3, 4, keep=2)
  names = {path.name for path in (tmp_path / 'checkpoints').iterdir()}
  assert names == {
    '3',
    '3.manifest.json',
    '4',
    '4.manifest.json',
    '1.backup',
    'notes.txt',
  }
  assert checkpoint.published_steps(tmp_path) == [4, 3]


def test_steps_to_keep_stay_beside_the_newest(tmp_path):
  save(tmp_path, 1, 2, 3, 4, 5, keep=1, keep_steps=(1, 3))
  assert checkpoint.published_steps(tmp_path) == [5, 3, 1]
  save(tmp_path, 2, keep=1, keep_steps=(1, 3))  # 3 is of an abandoned future
  assert checkpoint.published_steps(tmp_path) == [2, 1]


def test_saving_after_a_fallback_drops_the_abandoned_future(tmp_path):
  save(tmp_path, 1, 5)
  files_of(tmp_path, 5)[0].write_bytes(b'')
  assert_same(restore(tmp_path), 1)
  save(tmp_path, 3, keep=1)
  assert checkpoint.published_steps(tmp_path) == [3]
  assert_same(restore(tmp_path), 3)


def test_a_step_can_be_saved_again(saved):
  files_of(saved, 2)[0].write_bytes(b'')
  save(saved, 2)
  assert_same(restore(saved), 2)


def test_params_load_without_the_rest(saved):
  params = checkpoint.load_params(saved)
  expected = make_state(2).params
  assert jax.tree.structure(params) == jax.tree.structure(expected)
  assert state_lib.state_sha256(params) == state_lib.state_sha256(expected)
  older = checkpoint.load_params(saved, step=1)
  np.testing.assert_array_equal(older['low'], make_state(1).params['low'])
  files_of(saved, 2)[0].write_bytes(b'')
  newest = checkpoint.load_params(saved)
  np.testing.assert_array_equal(newest['low'], older['low'])
  with pytest.raises(ValueError, match='step 2'):
    checkpoint.load_params(saved, step=2)
  with pytest.raises(ValueError, match='no checkpoint of step 9'):
    checkpoint.load_params(saved, step=9)


def test_params_are_saved_alone_even_from_numpy_scalars(tmp_path):
  params = {'a': {'n': np.int32(3), 'w': np.ones((2, 2), np.float32)}}
  checkpoint.save_params(tmp_path, params, fingerprint={'source': 'x'})
  found = checkpoint.load_params(tmp_path)
  assert state_lib.state_sha256(found) == state_lib.state_sha256(params)
  assert checkpoint.read_manifest(tmp_path).fingerprint == {'source': 'x'}
  with pytest.raises(ValueError, match='holds no checkpoint'):
    checkpoint.load_params(tmp_path / 'elsewhere')


def test_restored_arrays_follow_the_sharding_asked_for(saved):
  mesh = jax.make_mesh(
    (1,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  target = jax.device_put(make_state(), sharding)
  with jax.set_mesh(mesh):
    state = checkpoint.restore(saved, target, FINGERPRINT)
    params = checkpoint.load_params(saved, target=target.params)
  assert_same(state, 2)
  leaves = jax.tree.leaves((state, params))
  assert all(leaf.sharding == sharding for leaf in leaves)
