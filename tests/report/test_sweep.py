"""The page of a sweep."""

import re

from hh_jax.report import sweep

TABLES = {
  'pm': [
    {'size': size, 'number': name, 'value': value, 'seeds': 3}
    for size, shift in (('nano0', 0.0), ('13m', 0.1))
    for name, value in (
      ('accuracy.helpful', [0.55 + shift, 0.6 + shift, 0.65 + shift]),
      ('num_comparisons', 100.0),
    )
  ],
  'pretrain': [
    {'size': 'nano0', 'number': 'loss', 'value': 1.25, 'seeds': 1},
  ],
}
TRIALS = [
  {'trial': 'pm-size=nano0', 'state': 'done', 'note': '<b>x</b>'},
  {'trial': 'pm-size=52b', 'state': 'failed', 'note': 'exit code 2'},
]


def test_the_page_shows_numbers_and_trials(tmp_path):
  counts = ['num_comparisons']
  path = sweep.write(tmp_path / 'ladder', 'python -m x', TABLES, TRIALS, counts)
  text = path.read_text()
  assert '<h1>Sweep ladder</h1>' in text
  assert '0.700 [0.650, 0.750]' in text
  assert '1.25' in text
  assert 'pm-size=52b' in text and 'exit code 2' in text
  assert '<b>x</b>' not in text  # what a trial says is escaped
  assert len(re.findall('<figure>', text)) == 1
  folder = tmp_path / 'ladder' / 'figures'
  assert (folder / 'pm_accuracy_helpful.svg').exists()
  assert not (folder / 'pm_num_comparisons.svg').exists()
  assert not list(folder.glob('pretrain*'))


def test_rows_of_one_point_are_joined():
  points = sweep.by_point(TABLES['pm'])
  assert [point['size'] for point in points] == ['nano0', '13m']
  assert points[1]['num_comparisons'] == 100.0 and points[1]['seeds'] == 3


def test_an_unfinished_sweep_has_a_page_too(tmp_path):
  (tmp_path / 'ladder').mkdir()
  path = sweep.write(tmp_path / 'ladder', 'python -m x', {}, TRIALS)
  assert 'failed' in path.read_text()
