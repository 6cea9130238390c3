import dataclasses
import pathlib

import pytest

from configs import pipeline as pipeline_config
from configs import presets
from hh_jax.config import OptimizerConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.stages import pipeline, pipeline_results, session, worlds
from hh_jax.stages.pipeline_results import share_of_way, thresholds
from tests.data import samples

WORK = pathlib.Path('runs/made-up')


def make_config(world='lab', **fields):
  choice = presets.Choice(world, 'nano0', 'smoke')
  return dataclasses.replace(pipeline_config.build(choice), **fields)


def planned(config=None):
  return {stage.name: stage for stage in pipeline.plan(config, WORK)}


def test_every_source_is_a_stage_that_comes_before():
  stages = pipeline.plan(make_config(), WORK)
  earlier = set()
  for stage in stages:
    for field, value in vars(stage.config).items():
      if field.endswith('_from') and value:
        source = pathlib.Path(value)
        assert source.parent == WORK
        assert source.name in earlier, (stage.name, field)
    earlier.add(stage.name)
  assert list(planned(make_config())) == [
    'pretrain',
    'distill',
    'pmp',
    'pm',
    'pm_held_out',
    'pm_helpful',
    'pm_harmless',
    'rejection',
    'rlhf',
    'evaluate',
  ]


def test_each_stage_starts_where_the_paper_says():
  stages = planned(make_config())

  def source(name, field):
    return pathlib.Path(getattr(stages[name].config, field)).name

  assert source('distill', 'init_from') == 'pretrain'
  assert source('pmp', 'init_from') == 'pretrain'
  for name in ('pm', 'pm_held_out', 'pm_helpful', 'pm_harmless'):
    assert source(name, 'init_from') == 'pmp'
  for name in ('rejection', 'rlhf'):
    assert source(name, 'policy_from') == 'distill'
    assert source(name, 'pm_from') == 'pm'
  assert source('rlhf', 'held_out_pm_from') == 'pm_held_out'
  assert source('evaluate', 'pm_from') == 'pm'
  assert source('evaluate', 'held_out_pm_from') == 'pm_held_out'
  assert source('evaluate', 'helpful_pm_from') == 'pm_helpful'
  assert source('evaluate', 'harmless_pm_from') == 'pm_harmless'
  assert source('evaluate', 'reference_from') == 'distill'
  assert source('evaluate', 'rlhf_from') == 'rlhf'


def test_the_two_preference_models_share_no_conversation():
  stages = planned(make_config())
  pm, held_out = stages['pm'].config.data, stages['pm_held_out'].config.data
  assert pm.span_end == held_out.span_start < held_out.span_end == 1.0
  found = worlds.comparisons(pm, 0).comparisons
  train, test = worlds.split(found, pm)
  other, same_test = worlds.split(found, held_out)
  assert test == same_test
  parts = [
    {item.prompt.first_human for item in part} for part in (train, other, test)
  ]
  assert all(parts)
  assert not parts[0] & parts[1]
  assert not (parts[0] | parts[1]) & parts[2]
  assert len(train) + len(other) + len(test) == len(found)


def test_the_evaluation_asks_about_comparisons_nobody_was_trained_on():
  stages = planned(make_config())
  asked = stages['evaluate'].config
  found = worlds.comparisons(asked.data, asked.seed).comparisons
  _, test = worlds.split(found, asked.data)
  asked_about = {item.prompt.first_human for item in test}
  for name in ('pm', 'pm_held_out', 'pm_helpful', 'pm_harmless'):
    data = stages[name].config.data
    train, _ = worlds.split(worlds.comparisons(data, 0).comparisons, data)
    assert not asked_about & {item.prompt.first_human for item in train}


def test_rl_prompts_are_not_those_of_the_evaluation():
  stages = planned(make_config())
  for name in ('rlhf', 'rejection'):
    assert (
      stages[name].config.data.test_fraction
      == stages['evaluate'].config.data.test_fraction
    )
  texts = [
    prompt.dialogue.first_human
    for prompt in worlds.prompts(
      stages['rlhf'].config.data, 0, 50, 0.5, is_held_out=False
    )
  ]
  limit = stages['evaluate'].config.data.test_fraction
  assert min(map(comparisons_lib.hash_unit, texts)) >= limit


def test_one_sided_models_have_one_side():
  stages = planned(make_config())
  assert stages['pm_helpful'].config.harmless_fraction == 0
  assert stages['pm_harmless'].config.harmless_fraction == 1
  assert stages['pm'].config.harmless_fraction == -1


def test_world_folder_and_seed_reach_every_stage():
  config = make_config(world='hh', data_dir='some/where', seed=11)
  for stage in pipeline.plan(config, WORK):
    assert stage.config.data.world == 'hh', stage.name
    assert stage.config.data.data_dir == 'some/where'
    assert stage.config.seed == 11


def test_what_is_missing_is_said_before_anything_is_trained(tmp_path):
  data = tmp_path / 'data'
  rows = [samples.row(f'{i}?', f'Yes, {i}.', 'No.') for i in range(4)]
  samples.write(data / 'hh_rlhf' / 'helpful_base.jsonl', rows)
  samples.write(data / 'lm_text' / 'books.jsonl', [{'text': 'Eggs.'}])
  config = make_config(world='hh', data_dir=str(data))
  with pytest.raises(ValueError, match='has no ranked posts'):
    pipeline.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('more', [2, -1])
def test_a_stage_that_others_started_from_keeps_its_length(tmp_path, more):
  config = make_config()
  constant = OptimizerConfig(schedule='constant')
  config = dataclasses.replace(
    config, rlhf=dataclasses.replace(config.rlhf, optimizer=constant)
  )
  stages = {stage.name: stage for stage in pipeline.plan(config, tmp_path)}
  steps = config.rlhf.num_iterations

  def finish(name):
    claimed = session.begin(name, stages[name].config, tmp_path / name, {})
    claimed.close('', {'steps': steps})

  rlhf = dataclasses.replace(config.rlhf, num_iterations=steps + more)
  other = dataclasses.replace(config, rlhf=rlhf)
  finish('rlhf')
  pipeline.require_own(tmp_path, pipeline.plan(other, tmp_path))
  finish('evaluate')
  pipeline.require_own(tmp_path, pipeline.plan(config, tmp_path))
  message = f'rlhf ended after {steps} steps, {steps + more} are.*/evaluate has'
  with pytest.raises(ValueError, match=message):
    pipeline.run(other, tmp_path)
  assert not (tmp_path / 'config.json').exists()


@pytest.mark.parametrize('text', ['{"model_type": "llama"}', '[1]', 'text'])
def test_another_projects_config_is_not_written_over(tmp_path, text):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(ValueError, match='config.json is not of a pipeline'):
    pipeline.run(make_config(), tmp_path)
  assert (tmp_path / 'config.json').read_text() == text


def band(low, mid, high):
  return [low, mid, high]


def good_results():
  sides = ('helpful', 'harmless')
  return {
    'pm_accuracy': {side: band(0.7, 0.72, 0.74) for side in sides},
    'bayes_accuracy': {side: band(0.72, 0.74, 0.76) for side in sides},
    'cross_accuracy': {
      'helpful_pm': {'harmless': band(0.3, 0.4, 0.5)},
      'harmless_pm': {'helpful': band(0.3, 0.4, 0.5)},
    },
    'gold': {
      label: {
        'pi0': band(-0.1, 0.0, 0.1),
        'best_of_16': band(0.3, 0.4, 0.5),
        'rlhf': band(0.5, 0.6, 0.7),
        'best_style': band(1.0, 1.0, 1.0),
      }
      for label in ('helpfulness', 'harmlessness')
    },
    'elo': {
      'overall': {
        'pi0': band(0, 0, 0),
        'best_of_16': band(40, 80, 120),
        'rlhf': band(60, 100, 140),
      }
    },
  }


def test_thresholds_of_a_good_run_are_all_met():
  rows = thresholds(good_results())
  assert len(rows) == 9
  assert all(row['met'] for row in rows), rows
  assert all(set(row) == {'name', 'value', 'target', 'met'} for row in rows)


def spoil(results, path, value):
  *groups, last = path
  for name in groups:
    results = results[name]
  results[last] = value


@pytest.mark.parametrize(
  ('path', 'value', 'missed'),
  [
    (('pm_accuracy', 'helpful'), band(0.6, 0.7, 0.8), 'accuracy, helpful'),
    (('pm_accuracy', 'harmless'), band(0.6, 0.7, 0.8), 'accuracy, harmless'),
    (
      ('cross_accuracy', 'helpful_pm', 'harmless'),
      band(0.4, 0.45, 0.5),
      'helpful-only PM',
    ),
    (
      ('cross_accuracy', 'harmless_pm', 'helpful'),
      band(0.4, 0.6, 0.7),
      'harmless-only PM',
    ),
    (
      ('gold', 'helpfulness', 'rlhf'),
      band(0.3, 0.49, 0.6),
      'best style, helpfulness',
    ),
    (
      ('gold', 'harmlessness', 'best_style'),
      band(2, 2, 2),
      'best style, harmlessness',
    ),
    (('elo', 'overall', 'rlhf'), band(60, 79, 140), 'less best-of-k'),
    (('elo', 'overall', 'rlhf'), band(-1, 100, 140), 'RLHF Elo over'),
    (('elo', 'overall', 'best_of_16'), band(0, 80, 120), 'best-of-k Elo over'),
  ],
)
def test_each_threshold_can_be_missed(path, value, missed):
  results = good_results()
  spoil(results, path, value)
  rows = [row for row in thresholds(results) if not row['met']]
  assert len(rows) == 1, rows
  assert missed in rows[0]['name']


def test_a_start_that_is_already_best_has_gone_the_way_or_fallen_back():
  assert share_of_way(0.0, 1.0, 4.0) == 0.25
  assert share_of_way(2.0, 2.0, 2.0) == 1.0
  assert share_of_way(2.0, 1.9, 1.5) == 1.0
  assert share_of_way(2.0, 1.0, 1.5) == 0.0


def test_a_side_without_test_examples_has_no_thresholds():
  results = good_results()
  for name in ('pm_accuracy', 'bayes_accuracy'):
    del results[name]['harmless']
  del results['cross_accuracy']['helpful_pm']['harmless']
  del results['gold']['harmlessness']
  rows = thresholds(results)
  assert len(rows) == 6
  assert not any('armless comparisons' in row['name'] for row in rows)


def test_the_real_world_has_no_thresholds_of_the_lab():
  results = good_results()
  del results['gold']
  assert thresholds(results) == []


def test_the_summary_says_what_was_missed():
  results = {
    'stages': {'pm': {'result': 'pm: 7 comparisons', 'seconds': 2.4}},
    'thresholds': [
      {'name': 'a', 'value': 1.0, 'target': '< 2', 'met': True},
      {'name': 'b', 'value': 3.0, 'target': '< 2', 'met': False},
    ],
  }
  assert pipeline_results.summary(results).splitlines() == [
    'pm: pm: 7 comparisons (2 s)',
    'reached: a 1.0 (< 2)',
    'MISSED: b 3.0 (< 2)',
  ]
