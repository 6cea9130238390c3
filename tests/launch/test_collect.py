"""Numbers of finished trials, seeds aggregated."""

import csv
import dataclasses
import io
import json
import pathlib

import numpy as np
import pytest

from hh_jax.launch import collect
from tests.launch import trials


def done(trial, **values):
  folder = pathlib.Path(trial.workdir)
  folder.mkdir(parents=True)
  result = {'line': 'x', 'state_sha256': 'f', 'steps': 1, **values}
  (folder / 'DONE').write_text(json.dumps(result))
  return trial


@pytest.fixture
def finished(tmp_path):
  """Two weights, three seeds of one, one of the other, one trial not done."""
  found = trials.expand(
    dataclasses.replace(trials.CHAIN, sizes=('nano0',), seeds=(0, 1, 2)),
    workdir=str(tmp_path),
  )
  for seed, accuracy in enumerate((0.6, 0.7, 0.75)):
    done(
      found[f'pm-harmless_weight=1.0-seed={seed}'],
      accuracy={'helpful': accuracy},
      elo=[-1.0, accuracy, 2.0],
    )
  done(
    found['pm-harmless_weight=4.0-seed=2'],
    accuracy={'helpful': 0.5},
    elo=[-2.0, 0.5, 1.0],
    gap=float('nan'),
  )
  return list(found.values())


def by_name(results, weight):
  return {r.name: r for r in results if r.axes['harmless_weight'] == weight}


def test_seeds_are_one_row_with_an_interval(finished):
  found = by_name(collect.collect(finished), 1.0)
  assert list(found) == ['steps', 'accuracy.helpful', 'elo']
  accuracy = found['accuracy.helpful']
  assert accuracy.axes == {'size': 'nano0', 'harmless_weight': 1.0}
  assert accuracy.seeds == (0, 1, 2)
  assert accuracy.values == (0.6, 0.7, 0.75)
  assert found['steps'].is_count and not accuracy.is_count
  mids = np.array([0.6, 0.7, 0.75])
  reach = 4.303 * mids.std(ddof=1) / 3**0.5  # of t with two degrees of freedom
  wanted = mids.mean() + reach * np.array([-1, 0, 1])
  assert accuracy.interval == pytest.approx(wanted, rel=1e-3)
  assert accuracy.interval[0] < accuracy.mid < accuracy.interval[2]
  assert found['elo'].interval == accuracy.interval


def test_one_seed_has_the_interval_of_its_items_or_none(finished):
  found = by_name(collect.collect(finished), 4.0)
  assert found['elo'].interval == (-2.0, 0.5, 1.0)
  assert found['accuracy.helpful'].interval is None
  assert found['accuracy.helpful'].seeds == (2,)
  assert found['gap'].interval is None


def test_the_csv_holds_every_value(finished):
  text = collect.to_csv(collect.collect(finished))
  rows = list(csv.DictReader(io.StringIO(text)))
  assert len(rows) == 7
  (row,) = [
    row
    for row in rows
    if row['name'] == 'accuracy.helpful' and row['harmless_weight'] == '1.0'
  ]
  assert row['stage'] == 'pm' and row['num_seeds'] == '3'
  assert row['values'].split() == ['0.6', '0.7', '0.75']
  assert float(row['low']) < float(row['mid']) < float(row['high'])


def test_rows_of_a_page(finished):
  tables = collect.rows(collect.collect(finished))
  assert list(tables) == ['pm']
  row = tables['pm'][1]
  assert row['number'] == 'accuracy.helpful' and row['seeds'] == 3
  low, mid, high = row['value']
  assert low < mid < high


def test_what_is_no_number_is_left_to_its_file(tmp_path):
  values = {'line': 'x', 'flag': True, 'rows': [{'a': 1}], 'deep': {'n': 2}}
  assert list(collect.numbers(values)) == [('deep.n', (2, 2, 2))]
