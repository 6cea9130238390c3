"""Runs of one config end alike, however often they are killed."""

import dataclasses
import json
import shutil

import pytest

from hh_jax.stages import pipeline_results
from hh_jax.training import metrics
from tests.end_to_end import toy

pytestmark = pytest.mark.slow

TRAINING = ('pretrain', 'distill', 'pmp', 'pm', 'rlhf')


def outcome(workdir):
  """Everything of a finished stage that must not differ."""
  result = json.loads((workdir / 'DONE').read_text())
  del result['seconds']
  points = sorted((workdir / 'points').glob('*.json'))
  return (
    metrics.read_metrics(workdir, with_time=False),
    result,
    [path.read_text() for path in points],
  )


@pytest.mark.parametrize('name', ['pretrain', 'pm'])
def test_the_same_config_ends_in_the_same_state(lab, cache, tmp_path, name):
  stage = toy.planned(lab, cache, name)
  printed = toy.finish(name, *toy.stage_arguments(name, stage.config, tmp_path))
  expected = outcome(lab[0] / name)
  assert outcome(tmp_path) == expected
  assert printed.splitlines()[0] == expected[1]['line']


def test_another_seed_ends_elsewhere(lab, cache, tmp_path):
  stage = toy.planned(lab, cache, 'pretrain')
  config = dataclasses.replace(stage.config, seed=1)
  toy.finish('pretrain', *toy.stage_arguments('pretrain', config, tmp_path))
  own, other = (
    json.loads((folder / 'DONE').read_text())['state_sha256']
    for folder in (tmp_path, lab[0] / 'pretrain')
  )
  assert own != other


def test_a_pipeline_killed_in_its_chain_ends_in_the_same_results(
  lab, cache, tmp_path
):
  workdir = tmp_path / 'run'
  left = shutil.ignore_patterns('rlhf', 'evaluate', 'results.json', '*.html')
  shutil.copytree(lab[0], workdir, ignore=left)
  args = toy.arguments(workdir, cache)
  total_steps = len(metrics.read_metrics(lab[0] / 'rlhf'))
  toy.kill_half_way(toy.start('pipeline', *args), workdir / 'rlhf', total_steps)
  toy.finish('pipeline', *args)
  own, other = (
    pipeline_results.kept_values(
      json.loads((folder / 'results.json').read_text())
    )
    for folder in (workdir, lab[0])
  )
  for values in (own, other):  # the rest says when and by which code
    del values['seconds_by_stage'], values['stage_commits']
  assert own == other


@pytest.mark.parametrize('name', TRAINING)
def test_a_stage_killed_half_way_ends_in_the_same_state(
  lab, cache, tmp_path, name
):
  args = toy.stage_arguments(
    name, toy.planned(lab, cache, name).config, tmp_path
  )
  expected = outcome(lab[0] / name)
  total_steps = len(expected[0])
  toy.kill_half_way(toy.start(name, *args), tmp_path, total_steps)
  assert not (tmp_path / 'DONE').exists()
  assert total_steps // 2 <= toy.num_lines(tmp_path) < total_steps
  printed = toy.finish(name, *args)
  assert outcome(tmp_path) == expected
  assert printed.splitlines()[0] == expected[1]['line']
