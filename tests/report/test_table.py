"""Numbers as people read them."""

import pytest

from hh_jax.report import table


@pytest.mark.parametrize(
  ('value', 'text'),
  [
    (0.68349, '0.683'),
    (3, '3'),
    (12_400, '12,400'),
    (12_400.0, '12,400'),
    (1.8354, '1.84'),
    (23.46, '23.5'),
    (236.4, '236'),
    (1234.6, '1,235'),
    (0.000032, '3.2e-05'),
    (0.0, '0.000'),
    (-0.25, '-0.250'),
    (float('nan'), '–'),
    ([0.659, 0.683, 0.706], '0.683 [0.659, 0.706]'),
    ([3, 2, 1], '3, 2, 1'),
    (True, 'yes'),
    (None, '–'),
    ({'cores': 2, 'cpu': 'X'}, 'cores: 2, cpu: X'),
  ],
)
def test_values_are_written(value, text):
  assert table.format_value(value) == text


def test_markdown_aligns_numbers_and_escapes():
  rows = [
    {'name': 'a|b', 'accuracy': [0.6, 0.7, 0.8]},
    {'name': 'c\nd', 'count': 7},
  ]
  assert table.markdown_table(rows).splitlines() == [
    '| name | accuracy | count |',
    '| --- | ---: | ---: |',
    '| a\\|b | 0.700 [0.600, 0.800] | – |',
    '| c d | – | 7 |',
  ]
  assert table.markdown_table(rows, ['count']).startswith('| count |')


def test_no_rows_no_table():
  with pytest.raises(ValueError, match='no table'):
    table.markdown_table([])


def test_rows_of_the_three_layouts():
  assert table.rows_of({'a': 1}) == [{'name': 'a', 'value': 1}]
  assert table.rows_of({'a': {'x': 1}}) == [{'name': 'a', 'x': 1}]
  assert table.rows_of([{'x': 1}]) == [{'x': 1}]
  with pytest.raises(ValueError, match='make no table'):
    table.rows_of([1, 2])


def test_nested_values_are_named_by_their_path():
  values = {
    'elo': {'overall': {'rlhf': [1, 2, 3]}},
    'frontier': [{'kl': 1.0}],
    'count': 4,
  }
  assert table.rows_of(values) == [
    {'name': 'elo.overall.rlhf', 'value': [1, 2, 3]},
    {'name': 'count', 'value': 4},
  ]
  assert table.rows_of(table.at_path(values, 'frontier')) == [{'kl': 1.0}]
  assert table.at_path(values, '') is values
  with pytest.raises(ValueError, match="no 'harmless'"):
    table.at_path(values, 'elo.harmless')
