import pytest

from hh_jax.config import DataConfig, FoldsConfig
from hh_jax.stages import folds
from tests.data import samples
from tests.stages import toys


def test_a_side_that_is_missing_is_said_before_the_first_fold(
  tmp_path, monkeypatch
):
  toys.stand_in(monkeypatch, start=toys.as_run(toys.params(), 'pretrain'))
  rows = [samples.row(f'{i}?', f'Yes, {i}.', 'No.') for i in range(20)]
  samples.write(tmp_path / 'data' / 'helpful_base.jsonl', rows)
  data = DataConfig(world='hh', data_dir=str(tmp_path / 'data'))
  with pytest.raises(ValueError, match='data has no harmless comparison'):
    folds.run(FoldsConfig(init_from='start', data=data), tmp_path / 'run')
  assert not list(tmp_path.glob('run/fold*'))
