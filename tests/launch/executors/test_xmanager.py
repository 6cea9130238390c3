"""The adapter, against a stand-in that records what it is told."""

import sys
import types

import pytest

from hh_jax.launch.executors import xmanager
from tests.launch import trials


class Recorder:
  """Names of classes become functions that return what they were given."""

  def __getattr__(self, name):
    return lambda **fields: types.SimpleNamespace(kind=name, **fields)


class Experiment:
  def __init__(self):
    self.packaged, self.added = [], []

  def __enter__(self):
    return self

  def __exit__(self, *error):
    return None

  def package(self, packageables):
    self.packaged += packageables
    return [f'executable{i}' for i, _ in enumerate(packageables)]

  def add(self, job):
    self.added.append(job)


class Vertex(types.SimpleNamespace):
  def __init__(self, requirements=None):
    super().__init__(requirements=requirements)

  class Spec:
    pass


def test_ready_trials_are_jobs_of_one_experiment(tmp_path, monkeypatch):
  experiment, titles = Experiment(), []

  def create_experiment(experiment_title):
    titles.append(experiment_title)
    return experiment

  package = types.ModuleType('xmanager')
  package.xm = Recorder()
  package.xm_local = types.SimpleNamespace(
    create_experiment=create_experiment, Vertex=Vertex
  )
  monkeypatch.setitem(sys.modules, 'xmanager', package)
  todo = [
    trials.fake(tmp_path, 'a', num_devices=8),
    trials.fake(tmp_path, 'b', num_devices=16),
    trials.fake(tmp_path, 'c', starts=['a']),
  ]
  options = xmanager.Options(image='registry/hh_jax:1', device='A100')
  assert xmanager.launch(todo, options).line() == '2 added, 1 waiting'
  assert titles == ['hh_jax']
  (packaged,) = experiment.packaged
  assert packaged.executable_spec.image_path == 'registry/hh_jax:1'
  assert [job.name for job in experiment.added] == ['a', 'b']
  assert [job.args for job in experiment.added] == [
    trial.command() for trial in todo[:2]
  ]
  devices = [job.executor.requirements.A100 for job in experiment.added]
  assert devices == [8, 16]


def test_without_xmanager(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'xmanager', None)
  with pytest.raises(ValueError, match='pip install xmanager'):
    xmanager.launch([trials.fake(tmp_path, 'a')], xmanager.Options(image='i'))
  with pytest.raises(ValueError, match='needs image=NAME'):
    xmanager.Options()


def test_a_trial_of_several_nodes_is_refused(tmp_path):
  todo = [trials.fake(tmp_path, 'a', num_devices=512)]
  with pytest.raises(ValueError, match='a mesh of 512 devices, more than'):
    xmanager.launch(todo, xmanager.Options(image='image'))
