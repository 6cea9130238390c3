"""What a config names is looked for before anything is loaded."""

import pytest

from hh_jax.config import FoldsConfig, PipelineConfig, require_inputs


@pytest.mark.parametrize('config_type', [FoldsConfig, PipelineConfig])
def test_a_record_that_cannot_be_written_is_refused(tmp_path, config_type):
  (tmp_path / 'taken').write_text('mine')
  require_inputs(config_type(record=str(tmp_path / 'new' / 'record.json')))
  assert not (tmp_path / 'new').exists()
  for record, why in ((tmp_path, 'is a folder'), ('taken/a.json', 'is a file')):
    record = tmp_path / record
    with pytest.raises(ValueError, match=f'record={record}.*{why}'):
      require_inputs(config_type(record=str(record)))
