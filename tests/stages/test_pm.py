import pytest

from hh_jax.config import DataConfig, PMConfig
from hh_jax.stages import pm
from tests.stages import toys


@pytest.fixture
def run(tmp_path, monkeypatch):
  toys.stand_in(monkeypatch, start=toys.as_run(toys.params(), 'pretrain'))

  def run(**data):
    data = DataConfig(row_length=256, **data)
    config = PMConfig(init_from='start', data=data)
    return pm.run(config, tmp_path)

  return run


def test_an_empty_test_part_is_refused_before_training(run, tmp_path):
  with pytest.raises(ValueError, match=r'test part is empty; .* of 4 comp'):
    run(num_examples=4, test_fraction=1e-6)
  assert not (tmp_path / 'checkpoints').exists()


def test_an_empty_training_part_is_refused(run):
  with pytest.raises(ValueError, match='training part is empty: 0 comparisons'):
    run(num_examples=4, span_start=0.0, span_end=1e-6, test_fraction=0.0)
