"""Cross-validation at toy size: every comparison is tested exactly once."""

import collections
import json

import pytest

from hh_jax.config import DataConfig, FoldsConfig
from hh_jax.stages import folds, worlds
from tests.end_to_end import toy

NUM = 40
MODELS = {'mixture', 'helpful_pm', 'harmless_pm'}


def test_folds_test_everything_once_and_train_on_the_rest():
  data = DataConfig(num_examples=NUM, test_fraction=0.0)
  config = FoldsConfig(data=data, num_folds=4)
  everything = worlds.comparisons(data, 0).comparisons
  tested = collections.Counter()
  for fold in range(4):
    own = folds.fold_config(config, fold, -1.0)
    train, test = worlds.split(everything, own.data)
    assert len(train) + len(test) == len(everything)
    openings = {item.prompt.first_human for item in test}
    assert not openings & {item.prompt.first_human for item in train}
    tested.update((item.prompt, item.chosen, item.rejected) for item in test)
  assert tested == collections.Counter(
    (item.prompt, item.chosen, item.rejected) for item in everything
  )


@pytest.mark.slow
def test_folds_end_to_end(lab, cache, tmp_path):
  record = tmp_path / 'record.json'
  args = [
    '--config=configs/folds.py:world=lab,size=nano0,scale=smoke',
    f'--config.init_from={lab[0] / "pmp"}',
    f'--config.data.num_examples={NUM}',
    *(f'--config.data.{key}={value}' for key, value in toy.PAIRS.items()),
    f'--config.loop.compilation_cache={cache}',
    f'--config.record={record}',
    f'--workdir={tmp_path / "run"}',
  ]
  printed = toy.finish('folds', *args)
  assert printed.startswith(f'folds: {NUM} comparisons tested, mixture ')
  values = json.loads(record.read_text())['values']
  assert values['num_tested'] == NUM
  linear = {f'linear/{name}' for name in MODELS}
  assert set(values['accuracy']) == {*MODELS, *linear, 'longer_reply'}
  for table in values['accuracy'].values():
    assert set(table) == {'helpful', 'harmless', 'all'}
    assert all(
      0 <= low <= mid <= high <= 1 for low, mid, high in table.values()
    )
  (row,) = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  found = json.loads(row)['accuracy/mixture/all/mid']
  assert found == values['accuracy']['mixture']['all'][1]
  # What is done is not trained again.
  record.unlink()
  done = tmp_path / 'run' / 'fold1' / 'mixture' / 'DONE'
  before = done.stat().st_mtime_ns
  assert toy.finish('folds', *args) == printed
  assert json.loads(record.read_text())['values'] == values
  assert done.stat().st_mtime_ns == before
