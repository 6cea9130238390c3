"""What a policy said along its training, read and scored again."""

import dataclasses
import pathlib

import numpy as np
import pytest

from hh_jax.config import DataConfig, PolicyConfig, RLHFConfig
from hh_jax.stages import inputs, loading, policy_points, trajectory
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.trajectory import Trajectory
from tests.stages import rollouts, toys

CONFIG = RLHFConfig(
  pm_from='pm-own',
  data=DataConfig(batch_size=4, row_length=128, test_fraction=0.3),
  sampling=rollouts.SAMPLING,
  num_iterations=4,
  eval_prompts=6,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
  """A run of two points by two policies; its preference model is toys'."""
  folder = tmp_path / 'models' / 'rlhf-made-up'
  folder.mkdir(parents=True)
  reference = toys.as_run(toys.params(), 'distill')
  judges = {'train_pm': toys.as_run(toys.pm_params(), 'pm')}
  points = policy_points.prepare(CONFIG, reference, judges, folder)
  points.start(toys.params())
  points.measure(rollouts.eager_to_end(), 4)
  toys.TOKENIZER.save(folder / loading.TOKENIZER_FILE)
  described = inputs.Description(
    folder, 'rlhf', dataclasses.asdict(CONFIG), {}, '', {}
  )
  monkeypatch.setattr(inputs, 'describe', lambda _: described)
  monkeypatch.setattr(inputs, 'place_data', lambda _, data: data)
  line = PolicyLineage(PolicyConfig(), 'nano0', 0, tmp_path)
  return Trajectory(line, folder)


@pytest.mark.slow
def test_scores_afterwards_are_those_of_the_run_itself(run, monkeypatch):
  pm = toys.as_run(toys.pm_params(), 'pm')
  monkeypatch.setattr(loading, 'load_run', lambda _: pm)
  found = run.scores(pathlib.Path('models/pm-made-up'))
  assert found.shape == (2, CONFIG.eval_prompts)
  np.testing.assert_allclose(found, run.known('train_pm'), atol=1e-5)
  assert np.ptp(found) > 0.1
  # Kept by run and model: the model is not opened again.
  monkeypatch.setattr(loading, 'load_run', lambda _: pytest.fail('again'))
  again = run.scores(pathlib.Path('elsewhere/pm-made-up'))
  np.testing.assert_array_equal(again, found)
  # The one that rewarded it scored along with it.
  own = run.scores(pathlib.Path('elsewhere') / pathlib.Path(CONFIG.pm_from))
  np.testing.assert_array_equal(own, run.known('train_pm'))
  assert run.has_gold
  assert run.known('gold').shape == found.shape
  assert list(run.samples) == [0, 16]


@pytest.mark.slow
def test_replies_are_read_back_without_their_end(run):
  replies = run.replies(1)
  assert len(replies) == CONFIG.eval_prompts
  assert all(len(ids) <= CONFIG.sampling.max_new_tokens for ids in replies)
  assert all(toys.TOKENIZER.eot not in ids for ids in replies)
  assert run.texts(0) != run.texts(1)


@pytest.mark.slow
def test_the_divergence_of_a_point_is_the_mean_of_its_prompts(run):
  (root,) = trajectory.roots([run])
  for place, point in enumerate(run.points):
    assert root[0, place] == pytest.approx(max(point['kl'], 0) ** 0.5)
  assert root[0, 1] > 0.1


@pytest.mark.slow
def test_a_side_is_resampled_alone(run):
  values = [np.where(run.sides == 'helpful', 1.0, -1.0) * np.ones((2, 1))]
  (table,) = trajectory.resampled([run], values, 'harmless')
  np.testing.assert_array_equal(table, -1.0)
  (table,) = trajectory.resampled([run], values)
  assert np.ptp(table) > 0
