import json

import jax
import numpy as np
import pytest

import hh_jax
from hh_jax.config import SamplingConfig
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.stages import loading
from hh_jax.training import checkpoint, workdir
from tests.stages import toys


@pytest.fixture
def pm_run(tmp_path):
  """A folder as a finished preference model leaves it."""
  folder = tmp_path / 'pm'
  workdir.prepare(folder, {'seed': 0}, {'stage': 'pm'})
  manifest = checkpoint.save_params(folder, toys.pm_params(), step=3)
  loading.describe_model(folder, 'pm', toys.MODEL, toys.TOKENIZER)
  mark_done(folder, manifest)
  return folder


def mark_done(folder, manifest, **fields):
  ended = {'steps': manifest.step, 'state_sha256': manifest.state_sha256}
  workdir.write_done(folder, {'line': 'pm: done', **ended, **fields})


def test_a_run_comes_back_as_it_was(pm_run):
  run = hh_jax.load(pm_run)
  manifest = checkpoint.read_manifest(pm_run)
  assert (run.stage, run.state_sha256) == ('pm', manifest.state_sha256)
  assert run.config == {'seed': 0}
  assert run.model.config == toys.MODEL.config
  assert run.tokenizer.sha256 == toys.TOKENIZER.sha256
  for own, other in zip(
    jax.tree.leaves(run.params),
    jax.tree.leaves(toys.pm_params()),
    strict=True,
  ):
    np.testing.assert_array_equal(own, other)


@pytest.mark.slow
def test_scores_and_samples_of_a_loaded_run(pm_run):
  run = hh_jax.load(pm_run)
  prompt = Dialogue((Turn('human', 'What is the time?'),))
  found = run.score('What is the time?', ['It is noon.', 'No.'])
  expected = [
    toys.plain_score(
      run.tokenizer.encode_prompt(prompt),
      run.tokenizer.encode_reply(reply),
      toys.pm_params(),
    )
    for reply in ('It is noon.', 'No.')
  ]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  sampling = SamplingConfig(max_new_tokens=5)
  first = run.sample(['What is the time?', prompt], sampling)
  assert len(first) == 2
  assert run.sample(['What is the time?', prompt], sampling) == first
  assert run.sample(['What is the time?', prompt], sampling, seed=1) != first


def test_a_language_model_has_no_scores():
  run = toys.as_run(toys.params(), 'pretrain', 'runs/pretrain')
  with pytest.raises(ValueError, match='runs/pretrain holds a pretrain model'):
    run.score('Why?', ['Because.'])


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(ValueError, match='holds no run'):
    loading.load_run(tmp_path)
  with pytest.raises(ValueError, match='nowhere holds no run'):
    loading.load_run('nowhere')


def test_an_unfinished_run(pm_run):
  (pm_run / 'DONE').unlink()
  with pytest.raises(ValueError, match='is not finished; run its stage again'):
    loading.load_run(pm_run)


def test_a_tokenizer_that_was_exchanged(pm_run):
  other = Tokenizer.train(['eggs and water and other words'] * 4, 300)
  other.save(pm_run / 'tokenizer.json')
  with pytest.raises(ValueError, match='not the tokenizer the run was trained'):
    loading.load_run(pm_run)


def test_damaged_parameters(pm_run):
  files = sorted(pm_run.glob('checkpoints/3/**/*'))
  largest = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(bytes(content))
  with pytest.raises(ValueError, match='checkpoint'):
    loading.load_run(pm_run)


def test_parameters_that_are_not_those_the_run_ended_with(pm_run):
  manifest = checkpoint.read_manifest(pm_run)
  mark_done(pm_run, manifest, state_sha256='0' * 64)
  with pytest.raises(ValueError, match='in state 0{12}, .* or remove DONE and'):
    loading.load_run(pm_run)
  mark_done(pm_run, manifest)
  assert loading.load_run(pm_run).state_sha256 == manifest.state_sha256
  checkpoint.save_params(pm_run, toys.pm_params(), step=4)  # made longer
  with pytest.raises(ValueError, match='after step 3 .* is of step 4'):
    loading.load_run(pm_run)


def test_a_pipeline_folder_opens_its_policy(pm_run):
  folder = pm_run.parent
  pm_run.rename(folder / 'rlhf')
  (folder / 'results.json').write_text(json.dumps({}))
  assert loading.load_run(folder).workdir == folder / 'rlhf'
