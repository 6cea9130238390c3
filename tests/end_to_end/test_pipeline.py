"""The pipeline from text to report, at toy size."""

import dataclasses
import html
import itertools
import json
import re

import numpy as np
import pytest

import hh_jax
from experiments import pipeline as experiment
from hh_jax.config import SamplingConfig
from hh_jax.data import jsonl
from hh_jax.report import layout, policy_figures, record
from hh_jax.report import run as run_lib
from hh_jax.report import sections as sections_lib
from hh_jax.stages import pipeline_results
from hh_jax.training import metrics
from hh_jax.training import workdir as workdir_lib
from tests.data import samples
from tests.end_to_end import toy

pytestmark = pytest.mark.slow

SIDES = {'helpful', 'harmless'}
POLICIES = {'pi0', 'best_of_4', 'rlhf'}
WRITTEN_AGAIN = {'config.json', 'results.json', 'report.html', 'figures'}


@pytest.fixture
def results(lab):
  return results_of(lab[0])


def results_of(workdir):
  return json.loads((workdir / 'results.json').read_text())


def is_interval(value):
  low, mid, high = value
  return bool(np.isfinite(value).all()) and low <= mid <= high


def test_results_hold_what_the_report_and_the_readme_need(results):
  assert set(results['pm_accuracy']) == {*SIDES, 'all'}
  assert set(results['bayes_accuracy']) == {*SIDES, 'all'}
  for table in (*results['cross_accuracy'].values(), results['pm_accuracy']):
    assert all(map(is_interval, table.values()))
  assert set(results['cross_accuracy']) == {
    'mixture',
    'held_out',
    'helpful_pm',
    'harmless_pm',
  }
  assert set(results['gold']) == {'helpfulness', 'harmlessness'}
  for table in results['gold'].values():
    assert set(table) == {*POLICIES, 'best_style'}
    assert all(map(is_interval, table.values()))
  for table in results['elo'].values():
    assert set(table) == POLICIES
    assert table['pi0'] == [0, 0, 0]
    assert all(map(is_interval, table.values()))
  assert set(results['kl']) == {'kl', 'k1', 'k3'}
  assert set(results['prompt_effect']) == SIDES
  assert len(results['samples']) == 2
  assert len(results['thresholds']) == 9
  json.dumps(pipeline_results.kept_values(results), allow_nan=False)


def test_every_stage_says_what_it_did(lab, results):
  workdir, printed = lab
  assert set(results['stages']) == {
    *results['state_sha256'],
    'rejection',
    'evaluate',
  }
  for name, stage in results['stages'].items():
    assert f'{name}: {stage["result"]}' in printed
    assert '\n' not in stage['result']
  assert f'report: {workdir / "report.html"}' in printed


def test_the_data_card_adds_up(results):
  card = results['data_card']
  assert card['read'] == card['kept'] + sum(card['rejected'].values())


def test_training_steps_are_logged_once_each(lab, results):
  for name in results['state_sha256']:
    rows = metrics.read_metrics(lab[0] / name)
    steps = results['stages'][name]['steps']
    assert [row['step'] for row in rows] == [*range(1, steps + 1)]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert not any(row['train/skipped'] for row in rows)


@pytest.mark.parametrize('name', ['pmp', 'pm'])
def test_text_counts_as_much_as_pairs_do(lab, name):
  """Weights of pairs are 1 and so is lm_coef, so the two means add up."""
  for row in metrics.read_metrics(lab[0] / name):
    np.testing.assert_allclose(
      row['train/loss'], row['pm/loss'] + row['lm/loss'], rtol=1e-5
    )


def test_the_frontier_starts_at_the_initial_policy(results):
  frontier = results['frontier']
  assert [point['step'] for point in frontier] == [0, 3, 6]
  assert abs(frontier[0]['kl']) < 1e-6
  assert all(point['kl'] > 1e-6 for point in frontier[1:])
  for point in frontier:
    assert is_interval(point['train_pm'])
    assert is_interval(point['held_out_pm'])
    assert {'gold_helpfulness', 'gold_harmlessness'} <= set(point)


def test_the_samplers_log_probs_are_the_trainers(lab):
  rows = metrics.read_metrics(lab[0] / 'rlhf')
  for row in rows:
    assert abs(row['ppo/first_ratio'] - 1) < 1e-4
    assert row['rollout/sampler_mismatch'] < 1e-4


def test_best_of_k_is_the_best_scored(lab):
  path = lab[0] / 'rejection' / 'samples' / 'best_of_k.jsonl'
  rows = [row for _, row in jsonl.read_rows(path)]
  assert len(rows) == 4
  for row in rows:
    assert len(row['replies']) == len(row['scores']) == 4
    assert row['best'] == row['replies'][int(np.argmax(row['scores']))]


def test_the_report_mentions_every_section(lab):
  workdir, _ = lab
  page = (workdir / 'report.html').read_text()
  run = run_lib.read_run(workdir)
  sections = sections_lib.all_sections(run, policy_figures.read_frontier(run))
  missing = [section.key for section in sections if not section.is_available]
  assert not missing
  for section in sections:
    assert isinstance(section, layout.Section)
    assert f'<section id="{section.key}">' in page
    assert html.escape(section.title, quote=False) in page
  assert not re.findall(r'(?:src|href)="(?!#)', page)
  assert 'python -m experiments.pipeline' in page


def test_a_finished_stage_opens_samples_and_scores(lab):
  workdir, _ = lab
  policy = hh_jax.load(workdir)
  assert policy.stage == 'rlhf'
  short = SamplingConfig(max_new_tokens=8, max_prompt=64, slots=8)
  replies = policy.sample(['What is 2 plus 3?', 'Why?'], short)
  assert len(replies) == 2
  assert all(isinstance(reply, str) for reply in replies)
  scores = hh_jax.load(workdir / 'pm').score('Why?', ['Because.', 'No.'])
  assert scores.shape == (2,) and np.isfinite(scores).all()
  with pytest.raises(ValueError, match='without a score head'):
    policy.score('Why?', ['Because.'])
  with pytest.raises(ValueError, match='holds no model'):
    hh_jax.load(workdir / 'evaluate')


def test_the_states_are_those_of_the_results(lab, results):
  for name, digest in results['state_sha256'].items():
    assert hh_jax.load(lab[0] / name).state_sha256 == digest
  assert len(set(results['state_sha256'].values())) == 8


def modified(workdir):
  return {
    path.relative_to(workdir): (path.stat().st_mtime_ns, path.stat().st_ino)
    for path in workdir.rglob('*')
    if path.is_file()
  }


def test_running_it_again_trains_nothing_and_says_the_same(
  lab, cache, tmp_path
):
  workdir, printed = lab
  before = modified(workdir)
  file = tmp_path / 'result.json'
  args = toy.arguments(workdir, cache, record=file)
  assert toy.finish('pipeline', *args) == printed
  after = modified(workdir)
  assert set(after) == set(before)
  changed = {path.parts[0] for path in after if after[path] != before[path]}
  assert changed == WRITTEN_AGAIN
  content = json.loads(file.read_text())
  assert list(content) == list(record.FIELDS)
  assert content['seeds'] == [0]
  assert content['command'].startswith('python -m experiments.pipeline ')
  assert {
    'pm_accuracy',
    'bayes_accuracy',
    'cross_accuracy',
    'gold',
    'elo',
    'kl',
    'state_sha256',
  } <= set(content['values'])
  commits = content['values']['stage_commits']
  assert commits == {
    name: workdir_lib.read_record(workdir / name)['versions']['hh_jax_commit']
    for name in results_of(workdir)['stages']
  }


def test_another_config_is_refused_and_nothing_is_written_over(lab, cache):
  workdir, _ = lab
  before = modified(workdir)
  for change, said in (
    ({'seed': 1}, 'seed=0 saved'),
    ({'rlhf.kl_coef': 0.5}, 'kl_coef=0.001 saved'),  # known before pretraining
  ):
    args = toy.arguments(workdir, cache, **change)
    with pytest.raises(ValueError, match=f'holds another run: .*{said}'):
      experiment.main(toy.parse(args), str(workdir))
    assert modified(workdir) == before
  config = toy.parse(toy.arguments(workdir, cache))
  with pytest.raises(ValueError, match='holds the run of a single stage'):
    experiment.main(config, str(workdir / 'pm'))
  assert modified(workdir) == before


def copy_heads(real_data, folder):
  """The first rows of some real files, so that reading them is quick."""
  for path, num in (
    ('hh_rlhf/harmless_base.test', 150),
    ('hh_rlhf/helpful_base.test', 150),
    ('stackexchange/questions', 60),
    ('lm_text/dolly_hhrlhf_small', 60),
    ('lm_text/topical_chat_valid_test', 60),
  ):
    rows = jsonl.read_rows(real_data / f'{path}.jsonl.gz')
    head = [row for _, row in itertools.islice(rows, num)]
    samples.write(folder / f'{path}.jsonl.gz', head)
  return folder


HH = {
  'pretrain.model.vocab_size': 1024,
  'distill.data.row_length': 640,
  'pm.data.num_examples': 80,
  'pm_one_side.data.num_examples': 80,
  'evaluate.data.num_examples': 80,
}


def test_the_pipeline_runs_on_the_real_data(real_data, lab, cache, tmp_path):
  folder = copy_heads(real_data, tmp_path / 'data')
  workdir = tmp_path / 'run'
  args = toy.arguments(workdir, cache, world='hh', data_dir=folder, **HH)
  printed = toy.finish('pipeline', *args)
  results = json.loads((workdir / 'results.json').read_text())
  assert set(results['pm_accuracy']) == {*SIDES, 'all'}
  assert set(results['elo']['overall']) == POLICIES
  assert results['games']['judge'] == 'held-out PM'
  assert 'gold' not in results and 'bayes_accuracy' not in results
  card = results['data_card']
  assert card['read'] == card['kept'] + sum(card['rejected'].values())
  assert (card['read'], card['kept']) == (300, 80)
  assert f'report: {workdir / "report.html"}' in printed
  assert 'Preference model accuracy' in (workdir / 'report.html').read_text()


def test_any_jsonl_of_comparisons_trains_a_preference_model(
  lab, cache, tmp_path
):
  """Stage pm on one file in no official layout, from the lab's pmp."""
  rows = [
    samples.row(f'Question {i}?', f'Yes, {i}.', f'No, {i}.') for i in range(24)
  ]
  path = samples.write(tmp_path / 'mine.jsonl', rows)
  config = toy.parse(toy.arguments(lab[0], cache)).pm
  config = dataclasses.replace(
    config,
    init_from=str(lab[0] / 'pmp'),
    data=dataclasses.replace(
      config.data, world='hh', data_dir=str(path), num_examples=0
    ),
  )
  printed = toy.finish(
    'pm', *toy.stage_arguments('pm', config, tmp_path / 'pm', 'hh')
  )
  assert re.fullmatch(r'pm: \d+ comparisons, test accuracy .*\n', printed)
