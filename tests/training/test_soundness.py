import logging
import math

import jax.numpy as jnp
import pytest

from hh_jax.training import (
  checkpoint,
  exit_codes,
  loop,
  metrics,
  soundness,
)
from tests.training.test_loop import count, run


def faulty(bad_steps, name='toy/loss', value=math.nan, skipped=1.0):
  """Steps that say a number is not finite, and keep their parameters."""

  def advance(state, step):
    if step + 1 in bad_steps:
      state = state.replace(step=state.step + 1)
      return state, {
        name: jnp.float32(value),
        'train/skipped': jnp.float32(skipped),
      }
    return count(state, step)

  return advance


def test_a_bad_step_is_named_and_the_run_goes_on(tmp_path, caplog):
  with caplog.at_level(logging.WARNING):
    state = run(tmp_path, faulty({2, 4, 5}), total_steps=6)
  assert int(state.step) == 6
  said = [r.message for r in caplog.records if r.name == soundness.__name__]
  assert [line.split()[2] for line in said] == ['2', '4', '5']
  assert said[0] == 'toy: step 2 was skipped: toy/loss=nan'
  rows = metrics.read_metrics(tmp_path)
  assert math.isnan(rows[1]['toy/loss'])


@pytest.mark.parametrize('limit', [1, 3])
def test_too_many_in_a_row_end_the_run(tmp_path, capsys, limit):
  with pytest.raises(SystemExit) as caught:
    run(
      tmp_path,
      faulty(range(5, 99), value=math.inf),
      total_steps=50,
      max_bad_steps=limit,
      checkpoint_every=2,
    )
  assert caught.value.code == exit_codes.UNSOUND == 3
  said = capsys.readouterr().err
  assert f'toy: step {4 + limit} is bad step {limit} in a row' in said
  assert 'toy/loss=inf' in said
  assert 'no bad update was applied' in said
  assert 'optimizer.lr_multiple' in said
  assert max(checkpoint.published_steps(tmp_path)) in (4, 6)
  rows = metrics.read_metrics(tmp_path)
  assert math.isinf(rows[3 + limit]['toy/loss'])


def test_a_bad_last_stretch_is_not_called_finished(tmp_path):
  with pytest.raises(SystemExit) as caught:
    run(tmp_path, faulty({2, 3, 4}), total_steps=4)
  assert caught.value.code == 3
  assert checkpoint.published_steps(tmp_path) == []


def test_a_batch_that_weighs_nothing_is_a_bad_step_too(tmp_path, caplog):
  with caplog.at_level(logging.WARNING):
    run(tmp_path, faulty({1}, value=0.0))
  assert 'step 1 was skipped: train/skipped=1, nothing' in caplog.text


@pytest.mark.parametrize(
  ('skipped', 'outcome'),
  [
    (0.5, 'lost 50% of its updates: toy/loss=nan'),
    (0.0, 'was applied but reports a number that is not finite: toy/loss=nan'),
  ],
)
def test_what_became_of_the_step_is_said(tmp_path, caplog, skipped, outcome):
  with caplog.at_level(logging.WARNING):
    run(tmp_path, faulty({1}, skipped=skipped))
  assert f'step 1 {outcome}' in caplog.text


def test_a_hook_that_reports_no_number_counts(tmp_path, caplog):
  hooks = loop.Hooks(on_step=lambda state, step: {'eval/x': math.inf})
  with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as caught:
    run(tmp_path, count, hooks=hooks, max_bad_steps=2)
  assert caught.value.code == 3
  assert 'step 2 was applied but reports' in caplog.text
  assert 'eval/x=inf' in caplog.text
