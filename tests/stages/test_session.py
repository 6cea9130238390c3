"""What makes a folder the run of a config."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest

from hh_jax.config import (
  DataConfig,
  DistillConfig,
  OptimizerConfig,
  PMConfig,
  PretrainConfig,
  RejectionConfig,
)
from hh_jax.models import ladder
from hh_jax.stages import identity, session
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import workdir
from tests.stages import toys


def take_a_step(folder):
  path = folder / 'metrics.jsonl'
  path.write_text('{"step": 1}\n')
  return path


def test_a_tokenizer_counts_by_its_content(tmp_path):
  for name in ('a.json', 'b.json'):
    toys.TOKENIZER.save(tmp_path / name)
  config = PretrainConfig(tokenizer=str(tmp_path / 'a.json'))
  folder = session.begin('pretrain', config, tmp_path / 'run', {}).workdir
  take_a_step(folder)
  moved = dataclasses.replace(config, tokenizer=str(tmp_path / 'b.json'))
  identity.check(moved, folder)
  session.begin('pretrain', moved, folder, {})
  with pytest.raises(
    ValueError, match="tokenizer='[0-9a-f]{64}' saved, '' now"
  ):
    identity.check(dataclasses.replace(config, tokenizer=''), folder)


def test_seconds_of_earlier_processes_count(tmp_path):
  config = PretrainConfig()
  session.begin('pretrain', config, tmp_path, {})
  metrics = take_a_step(tmp_path)  # the last an hour from now
  later = time.time() + 3600
  os.utime(metrics, (later, later))
  claimed = session.begin('pretrain', config, tmp_path, {})
  claimed.close('pretrain: done', {'steps': config.num_steps})
  seconds = workdir.read_result(tmp_path)['seconds']
  assert 3600 <= seconds < 3660


def test_a_stage_without_updates_has_its_result_as_metrics(tmp_path):
  claimed = session.begin('rejection', RejectionConfig(), tmp_path, {})
  claimed.close('rejection: done', {'gain': [0.5, 1.0, 1.5], 'num_prompts': 4})
  assert metrics_lib.read_metrics(tmp_path) == [
    {
      'step': 1,
      'gain/low': 0.5,
      'gain/mid': 1.0,
      'gain/high': 1.5,
      'num_prompts': 4,
    }
  ]


def test_no_path_is_longer_than_learned_positions_go(tmp_path):
  start = toys.as_run(toys.params(), 'pretrain')
  model = dataclasses.replace(
    start.model.config, positions='learned', max_positions=64
  )
  start = dataclasses.replace(start, model=ladder.build(model))
  config = PMConfig(data=DataConfig(row_length=128))
  with pytest.raises(ValueError, match='128 tokens.*max_positions=64'):
    session.begin('pm', config, tmp_path / 'run', {'init_from': start})
  assert not (tmp_path / 'run').exists()


def test_a_run_made_longer_is_not_done_until_it_ends(tmp_path):
  constant = OptimizerConfig(schedule='constant')
  config = PretrainConfig(num_steps=3, optimizer=constant)
  session.begin('pretrain', config, tmp_path, {}).close('', {'steps': 3})
  shorter = dataclasses.replace(config, num_steps=2)
  assert session.begin('pretrain', shorter, tmp_path, {}).result['steps'] == 3
  longer = dataclasses.replace(config, num_steps=5)
  assert session.begin('pretrain', longer, tmp_path, {}).result is None
  assert not workdir.is_done(tmp_path)


@pytest.mark.parametrize('schedule', ['linear', 'cosine'])
def test_a_decaying_rate_keeps_its_length(tmp_path, schedule):
  config = PretrainConfig(optimizer=OptimizerConfig(schedule=schedule))
  session.begin('pretrain', config, tmp_path, {})
  take_a_step(tmp_path)
  longer = dataclasses.replace(config, num_steps=config.num_steps + 1)
  with pytest.raises(
    ValueError, match=f'its rate decays .{schedule}. over all'
  ):
    session.begin('pretrain', longer, tmp_path, {})
  session.begin('pretrain', config, tmp_path, {})


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
  session.begin('pretrain', PretrainConfig(), tmp_path, {})
  claimed = session.begin('pretrain', PretrainConfig(), tmp_path, {})
  other = (
    'import sys; from hh_jax.training import workdir; workdir.hold(sys.argv[1])'
  )
  command = [sys.executable, '-c', other, str(tmp_path)]
  done = subprocess.run(command, capture_output=True, text=True)
  assert f'another process works in {tmp_path.resolve()}' in done.stderr
  claimed.close('', {'steps': PretrainConfig().num_steps})
  assert subprocess.run(command).returncode == 0


def test_a_distillation_keeps_its_length(tmp_path):
  """Its batches are drawn for all of its steps."""
  constant = OptimizerConfig(schedule='constant')
  config = DistillConfig(num_steps=3, optimizer=constant)
  session.begin('distill', config, tmp_path, {})
  longer = dataclasses.replace(config, num_steps=5)
  session.begin('distill', longer, tmp_path, {})  # nothing was done yet
  take_a_step(tmp_path)
  session.begin('distill', longer, tmp_path, {})
  before = (tmp_path / 'config.json').read_text()
  for claim in (
    lambda: session.begin('distill', config, tmp_path, {}),
    lambda: identity.check(config, tmp_path),
  ):
    with pytest.raises(ValueError, match='num_steps=5 saved, 3 now'):
      claim()
  assert (tmp_path / 'config.json').read_text() == before
  session.begin('pm', PMConfig(), tmp_path / 'pm', {}).close('', {})
  with pytest.raises(
    ValueError, match='another run: effect_prompts=nothing saved'
  ):
    session.begin('distill', config, tmp_path / 'pm', {})


@pytest.mark.parametrize('text', ['{', '[1]'])
def test_a_damaged_config_is_named(tmp_path, text):
  session.begin('pretrain', PretrainConfig(), tmp_path, {})
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(ValueError, match='config.json is damaged'):
    session.begin('pretrain', PretrainConfig(), tmp_path, {})
