"""The README's tables equal the result files, and a check says so."""

import json
import pathlib

import pytest

from hh_jax.report import readme

_ROOT = pathlib.Path(__file__).parents[2]
_TEXT = '# Title\n\n<!-- results:pm -->\nold\n<!-- /results -->\n\nThe end.\n'


def _result(values):
  return {
    'command': 'python -m experiments.pm',
    'commit': '0123456789abcdef0123+dirty',
    'hardware': {
      'cpu': 'Example CPU',
      'cores': 2,
      'memory_gib': 8.0,
      'devices': {'cpu': 1},
    },
    'versions': {'python': '3.11.4', 'jax': '0.10.2', 'numpy': '2.4.6'},
    'seeds': [0, 1],
    'seconds': 61.0,
    'values': values,
  }


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'results').mkdir()
  values = {'helpful': {'accuracy': [0.6, 0.7, 0.8]}}
  (tmp_path / 'results' / 'pm.json').write_text(json.dumps(_result(values)))
  (tmp_path / 'README.md').write_text(_TEXT)
  return tmp_path


def _main(folder, *extra):
  return readme.main(
    [
      f'--readme={folder / "README.md"}',
      f'--results={folder / "results"}',
      *extra,
    ]
  )


def test_some_columns_are_shown_in_the_order_asked_for(folder):
  rows = [{'job': 'LM', 'ours': 2.0, 'peer': 1.0, 'ratio': 2.0}]
  path = folder / 'results' / 'speed.json'
  path.write_text(json.dumps(_result(rows)))
  text = '<!-- results:speed[ratio,job] -->\n<!-- /results -->'
  shown = readme.render(text, folder / 'results')
  assert '| ratio | job |' in shown
  assert '| 2.00 | LM |' in shown
  assert 'ours' not in shown


def test_tables_are_filled_and_then_stay(folder, capsys):
  assert _main(folder, '--check') == 1
  assert 'differs' in capsys.readouterr().err
  assert (folder / 'README.md').read_text() == _TEXT
  assert _main(folder) == 0
  text = (folder / 'README.md').read_text()
  assert '| helpful | 0.700 [0.600, 0.800] |' in text
  assert 'old' not in text
  assert text.startswith('# Title\n\n<!-- results:pm -->\n')
  assert text.endswith('<!-- /results -->\n\nThe end.\n')
  assert _main(folder, '--check') == 0


def test_a_changed_number_fails_the_check(folder):
  _main(folder)
  path = folder / 'results' / 'pm.json'
  path.write_text(path.read_text().replace('0.7', '0.71'))
  assert _main(folder, '--check') == 1


def test_the_line_below_says_how_it_was_measured(folder):
  _main(folder)
  text = (folder / 'README.md').read_text()
  assert (
    '`python -m experiments.pm` at 0123456789ab+dirty on Example CPU, '
    '2 cores, 8.0 GiB; 61.0 s; seeds 0, 1; python 3.11.4, jax 0.10.2.'
  ) in text


def test_a_part_of_the_values_can_be_shown(folder):
  readme_path = folder / 'README.md'
  readme_path.write_text(_TEXT.replace('results:pm', 'results:pm#helpful'))
  assert _main(folder) == 0
  text = readme_path.read_text()
  assert '| accuracy | 0.700 [0.600, 0.800] |' in text
  assert '<!-- results:pm#helpful -->' in text
  readme_path.write_text(_TEXT.replace('results:pm', 'results:pm#nothing'))
  assert _main(folder) == 2


def test_an_accelerator_is_named_beside_the_processor():
  result = _result({'a': 1})
  result['hardware']['devices'] = {'Fast Chip': 8}
  assert ', 8 x Fast Chip; ' in readme.describe(result)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('<!-- results:pm -->', 'never closed'),
    ('a\n<!-- /results -->', 'line 2'),
    ('<!-- results:a -->\n<!-- results:b -->', 'opens before'),
    ('<!-- results:other --><!-- /results -->', 'has no file'),
    ('<!-- results:../x --><!-- /results -->', 'outside'),
  ],
)
def test_bad_markers_are_errors(folder, text, words, capsys):
  (folder / 'README.md').write_text(text)
  assert _main(folder) == 2
  assert words in capsys.readouterr().err
  assert (folder / 'README.md').read_text() == text


def test_a_result_file_that_hides_its_origin_is_an_error(folder, capsys):
  result = _result({'a': 1})
  del result['seeds']
  (folder / 'results' / 'pm.json').write_text(json.dumps(result))
  assert _main(folder) == 2
  assert "lacks ['seeds']" in capsys.readouterr().err


def test_this_repository_shows_what_was_measured():
  text = (_ROOT / 'README.md').read_text(encoding='utf-8')
  assert readme.render(text, _ROOT / 'results') == text
