"""Stages that measure a policy need prompts that nobody was trained on."""

import pytest

from hh_jax.config import DataConfig, RejectionConfig, RLHFConfig
from hh_jax.stages import rejection, rlhf
from tests.data import samples
from tests.stages import rollouts, toys


@pytest.mark.parametrize(
  ('stage', 'config'), [(rejection, RejectionConfig), (rlhf, RLHFConfig)]
)
def test_a_test_part_without_prompts_is_refused_before_any_work(
  tmp_path, monkeypatch, stage, config
):
  toys.stand_in(
    monkeypatch,
    policy=toys.as_run(toys.params(), 'distill'),
    pm=toys.as_run(toys.pm_params(), 'pmp'),
  )
  rows = [samples.row(f'{i}?', f'Yes, {i}.', 'No.') for i in range(20)]
  samples.write(tmp_path / 'data' / 'helpful_base.jsonl', rows)
  data = DataConfig(
    world='hh', data_dir=str(tmp_path / 'data'), test_fraction=1e-6
  )
  message = 'test part of data_dir=.*/data has no prompt.*test_fraction=1e-06'
  asked = config(
    policy_from='policy', pm_from='pm', data=data, sampling=rollouts.SAMPLING
  )
  with pytest.raises(ValueError, match=message):
    stage.run(asked, tmp_path / 'run')
  written = {path.name for path in tmp_path.glob('run/*')}
  assert written == {'config.json', 'run.json', '.lock'}
