"""What a config names is asked before anything is loaded."""

import dataclasses
import json

import pytest

from hh_jax.config import (
  DataConfig,
  DistillConfig,
  EvaluateConfig,
  FoldsConfig,
  PipelineConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  RejectionConfig,
  RLHFConfig,
)
from hh_jax.stages import inputs
from hh_jax.training import workdir
from tests.data import samples

SPLIT = DataConfig(world='hh', data_dir='there', test_fraction=0.1)


def make_run(folder, stage, tokenizer='a' * 64, data=SPLIT):
  """The files by which a finished run says what it is; returns its path."""
  folder.mkdir()
  workdir.write_json(folder / 'config.json', {'data': dataclasses.asdict(data)})
  described = {'stage': stage, 'model': {}, 'tokenizer_sha256': tokenizer}
  workdir.write_json(folder / 'model.json', described)
  workdir.write_done(folder, {'line': stage})
  return str(folder)


def test_data_must_be_there(tmp_path):
  inputs.require_data(DataConfig(world='lab'))
  inputs.require_data(DataConfig(world='hh', data_dir=str(tmp_path)))
  with pytest.raises(ValueError, match='world=hh needs --config.data.data_dir'):
    inputs.require_data(DataConfig(world='hh'))
  with pytest.raises(ValueError, match='data_dir=nowhere does not exist'):
    inputs.require_data(DataConfig(world='hh', data_dir='nowhere'))


@pytest.mark.parametrize('config_type', [FoldsConfig, PipelineConfig])
def test_a_record_that_cannot_be_written_is_refused(tmp_path, config_type):
  (tmp_path / 'taken').write_text('mine')
  named = {'record': str(tmp_path / 'new' / 'record.json')}
  if config_type is FoldsConfig:
    named['init_from'] = make_run(tmp_path / 'pmp', 'pmp')
  inputs.require(config_type(**named))
  assert not (tmp_path / 'new').exists()
  for record, why in ((tmp_path, 'is a folder'), ('taken/a.json', 'is a file')):
    named['record'] = str(tmp_path / record)
    with pytest.raises(ValueError, match=f'record={named["record"]}.*{why}'):
      inputs.require(config_type(**named))


def test_a_run_of_another_stage(tmp_path):
  pm = make_run(tmp_path / 'pm', 'pm')
  with pytest.raises(ValueError, match='init_from=.*holds a pm run.* pretrain'):
    inputs.require(PMPConfig(init_from=pm))
  with pytest.raises(ValueError, match='--config.pm_from is empty.*pm or pmp'):
    policy = make_run(tmp_path / 'distill', 'distill')
    inputs.require(RejectionConfig(policy_from=policy))
  with pytest.raises(ValueError, match='--config.pm_from is empty'):
    inputs.require(EvaluateConfig())
  with pytest.raises(ValueError, match='init_from=nowhere holds no run'):
    inputs.require(PMPConfig(init_from='nowhere'))
  (tmp_path / 'distill' / 'DONE').unlink()
  with pytest.raises(ValueError, match='is not finished; run its stage again'):
    inputs.require(RejectionConfig(policy_from=policy, pm_from=pm))


def test_a_field_that_may_be_empty_is_asked_when_it_is_not(tmp_path):
  policy = make_run(tmp_path / 'distill', 'distill')
  pm = make_run(tmp_path / 'pm', 'pm')
  named = {'policy_from': policy, 'pm_from': pm, 'data': SPLIT}
  config = RLHFConfig(**named | {'data': DataConfig(test_fraction=0.1)})
  inputs.require(config)
  with pytest.raises(ValueError, match='held_out_pm_from=.*a distill run'):
    inputs.require(dataclasses.replace(config, held_out_pm_from=policy))


def test_the_teacher_of_a_pipeline_is_asked_for(tmp_path):
  tokenizer = samples.tokenizer()
  tokenizer.save(tmp_path / 'tokenizer.json')
  pretrain = make_run(tmp_path / 'pretrain', 'pretrain', tokenizer.sha256)
  own = PretrainConfig(tokenizer=str(tmp_path / 'tokenizer.json'))
  distill = DistillConfig(teacher_from=pretrain)
  inputs.require(PipelineConfig(pretrain=own, distill=distill))
  with pytest.raises(ValueError, match='--config.pretrain.tokenizer=.*/pretr'):
    inputs.require(PipelineConfig(distill=distill))
  pm = DistillConfig(teacher_from=make_run(tmp_path / 'pm', 'pm'))
  with pytest.raises(ValueError, match='distill.teacher_from=.*a pm run'):
    inputs.require(PipelineConfig(distill=pm))


def test_runs_of_two_tokenizers_do_not_meet(tmp_path):
  policy = make_run(tmp_path / 'distill', 'distill')
  pm = make_run(tmp_path / 'pm', 'pm', tokenizer='b' * 64)
  config = RejectionConfig(policy_from=policy, pm_from=pm)
  with pytest.raises(ValueError, match='different tokenizers .a{12} and b{12}'):
    inputs.require(config)


def test_what_is_held_out_does_not_depend_on_where_the_files_lie(tmp_path):
  pm = inputs.describe(make_run(tmp_path / 'pm', 'pm'))
  own = dataclasses.replace(SPLIT, data_dir='here')
  inputs.require_same_split(own, pm)
  for change in ({'test_fraction': 0.2}, {'split_offset': 0.5}):
    other = dataclasses.replace(own, **change)
    with pytest.raises(ValueError, match='it may have seen; make them equal'):
      inputs.require_same_split(other, pm)
    lab = dataclasses.replace(other, world='lab')
    inputs.require_same_split(lab, pm)


def test_a_bad_row_is_found_in_what_the_stage_reads(tmp_path):
  good = [samples.row('Why?', 'Because.', 'No.')]
  samples.write(tmp_path / 'helpful-base' / 'train.jsonl', good)
  (tmp_path / 'stackexchange').mkdir()
  bad = tmp_path / 'stackexchange' / 'posts.jsonl'
  bad.write_text(json.dumps({'site': 'cooking'}) + '\n')
  data = DataConfig(world='hh', data_dir=str(tmp_path))
  inputs.require_readable(PMConfig(data=data))
  inputs.require_readable(PMPConfig())
  with pytest.raises(ValueError, match=f'{bad} row 1'):
    inputs.require_readable(PMPConfig(data=data))
