"""Stages run by hand, in ways the pipeline does not run them."""

import dataclasses
import json
import os

import numpy as np
import pytest

from hh_jax.evals import alarms
from hh_jax.training import metrics
from tests.end_to_end import toy

pytestmark = pytest.mark.slow


def run_alone(lab, cache, workdir, name, env=None, **changes):
  """Runs a stage of the toy pipeline with some fields changed."""
  config = dataclasses.replace(toy.planned(lab, cache, name).config, **changes)
  return toy.finish(name, *toy.stage_arguments(name, config, workdir), env=env)


def outcome(workdir):
  return json.loads((workdir / 'DONE').read_text())


def test_binarised_pretraining_has_two_pairs_for_one(lab, cache, tmp_path):
  printed = run_alone(lab, cache, tmp_path, 'pmp', binary=True, lm_coef=0.0)
  ranked = outcome(lab[0] / 'pmp')
  binary = outcome(tmp_path)
  assert binary['num_comparisons'] == 2 * ranked['num_comparisons']
  assert printed == binary['line'] + '\n'
  assert binary['state_sha256'] != ranked['state_sha256']


@pytest.mark.parametrize(
  'changes',
  [
    {'share_trunk': True},
    {
      'value_init': 'policy',
      'center_scores': False,
      'missing_eot_score': 'fixed',
      'passes': 2,
      'recompute_log_probs': True,
      'kl_coef': 0.0,
    },
  ],
  ids=lambda changes: next(iter(changes)),
)
def test_ppo_with_other_choices(lab, cache, tmp_path, changes):
  few = {'num_iterations': 2, 'eval_every': 2, 'held_out_pm_from': ''}
  run_alone(lab, cache, tmp_path, 'rlhf', **changes, **few)
  rows = metrics.read_metrics(tmp_path)
  assert len(rows) == 2
  nearest = 1e-6 if 'recompute_log_probs' in changes else 1e-4
  for row in rows:
    assert np.isfinite(list(row.values())).all()
    assert not row['train/skipped']
    assert row['ppo/first_log_ratio'] <= nearest
    assert row['rollout/sampler_mismatch'] <= 1e-4
  first, last = outcome(tmp_path)['frontier']
  assert abs(first['kl']) < 1e-6 < last['kl']
  assert 'held_out_pm' not in last


# Six steps of pretraining teach nobody to end a reply within eight tokens: this
# alarm tells the truth of every toy run. No other one may fire in a sound run.
NEVER_ENDS = 'EOS rate'


def alarm_names(workdir):
  return [alarm['name'] for alarm in outcome(workdir)['alarms']]


def test_the_toy_run_of_ppo_raises_no_alarm_but_that_replies_do_not_end(lab):
  rows = metrics.read_metrics(lab[0] / 'rlhf')
  assert len(rows) > alarms.WINDOW
  assert np.median([row['rollout/eot_rate'] for row in rows]) == 0
  assert alarm_names(lab[0] / 'rlhf') == [NEVER_ENDS]


def test_a_rate_that_is_far_too_high_raises_an_alarm(lab, cache, tmp_path):
  own = toy.planned(lab, cache, 'rlhf').config.optimizer
  # It warms up, for an alarm compares with the first iterations.
  fast = dataclasses.replace(
    own,
    lr_multiple=1000 * own.lr_multiple,
    schedule='constant',
    warmup_steps=16,
  )
  few = {'num_iterations': 14, 'eval_every': 14, 'held_out_pm_from': ''}
  run_alone(lab, cache, tmp_path, 'rlhf', optimizer=fast, **few)
  assert alarm_names(tmp_path) == [NEVER_ENDS, 'entropy']
  for alarm in outcome(tmp_path)['alarms']:
    assert alarm['step'] >= alarms.WINDOW
    assert alarm['message'].startswith(f'{alarm["name"]}: ')
  rows = metrics.read_metrics(tmp_path)
  assert not any(row['train/skipped'] for row in rows), 'a bad step, no alarm'
  assert rows[-1]['ppo/entropy'] < 0.05 * rows[0]['ppo/entropy']


def test_a_run_that_diverges_ends_with_code_3(lab, cache, tmp_path):
  own = toy.planned(lab, cache, 'pretrain').config
  config = dataclasses.replace(
    own,
    num_steps=12,
    optimizer=dataclasses.replace(own.optimizer, lr_override=1e30),
    loop=dataclasses.replace(own.loop, max_bad_steps=3),
  )
  args = toy.stage_arguments('pretrain', config, tmp_path)
  child = toy.start('pretrain', *args)
  printed, errors = child.communicate()
  assert child.returncode == 3, errors
  assert printed == ''
  assert 'Traceback' not in errors
  (line,) = [x for x in errors.splitlines() if x.startswith('error: ')]
  assert 'is bad step 3 in a row (lm/loss=nan' in line
  assert not (tmp_path / 'DONE').exists()
  rows = metrics.read_metrics(tmp_path)
  assert [row['train/skipped'] for row in rows[-3:]] == [1, 1, 1]


def test_a_student_can_have_a_teacher_of_its_own(lab, cache, tmp_path):
  """The teacher's weights, not the student's, set the targets."""
  own = toy.planned(lab, cache, 'pretrain').config
  other = dataclasses.replace(
    own, seed=1, tokenizer=str(lab[0] / 'pretrain' / 'tokenizer.json')
  )
  teacher = tmp_path / 'teacher'
  toy.finish('pretrain', *toy.stage_arguments('pretrain', other, teacher))
  student = tmp_path / 'student'
  run_alone(lab, cache, student, 'distill', teacher_from=str(teacher))
  first, usual = (
    metrics.read_metrics(folder)[0]['distill/kl']
    for folder in (student, lab[0] / 'distill')
  )
  assert first != usual


@pytest.mark.parametrize(
  ('name', 'axis', 'metric'),
  [
    ('pretrain', 'mesh_fsdp', 'train/loss'),
    ('rlhf', 'mesh_data', 'rollout/score'),
  ],
)
def test_two_devices_do_the_work_of_one(
  lab, cache, tmp_path, name, axis, metric
):
  env = {
    'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} '
    '--xla_force_host_platform_device_count=2'
  }
  loop = toy.planned(lab, cache, name).config.loop
  loop = dataclasses.replace(loop, **{axis: 2})
  run_alone(lab, cache, tmp_path, name, env=env, loop=loop)
  for own, other in zip(
    metrics.read_metrics(tmp_path),
    metrics.read_metrics(lab[0] / name),
    strict=True,
  ):
    np.testing.assert_allclose(own[metric], other[metric], rtol=1e-4, atol=1e-4)


def test_best_of_k_alone(lab, cache, tmp_path):
  run_alone(lab, cache, tmp_path, 'rejection', k=2)
  (row,) = metrics.read_metrics(tmp_path)
  assert row['gain/low'] <= row['gain/mid'] <= row['gain/high']
  assert row['num_prompts'] == outcome(tmp_path)['num_prompts']


def test_an_evaluation_with_one_preference_model(lab, cache, tmp_path):
  without = ('held_out_pm_from', 'helpful_pm_from', 'harmless_pm_from')
  printed = run_alone(
    lab, cache, tmp_path, 'evaluate', **dict.fromkeys(without, '')
  )
  found = json.loads((tmp_path / 'evaluation.json').read_text())
  assert set(found['cross_accuracy']) == {'mixture'}
  assert set(found['pm_gain']) == {'mixture'}
  assert found['games']['judge'] == 'crowd'
  (row,) = metrics.read_metrics(tmp_path)
  assert row['elo/overall/rlhf/mid'] == found['elo']['overall']['rlhf'][1]
  assert printed == outcome(tmp_path)['line'] + '\n'
