"""The prepare command: card, cleaned rows, one-line errors with exit 2."""

import json
import subprocess
import sys

import pytest

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import prepare
from tests.data import samples

ROWS = [
  samples.row('Hi', 'Hello.', 'Go away.'),
  samples.row('Hi', 'Good day.', 'No.'),
  samples.row('What?', '', 'No.'),
]


@pytest.fixture
def source(tmp_path):
  return samples.write(tmp_path / 'in/harmless_base.test.jsonl.gz', ROWS)


def run(source, out):
  return prepare.main([f'--source={source}', f'--out={out}'])


def test_card_and_rows(source, tmp_path, capsys):
  out = tmp_path / 'out'
  assert run(source, out) == 0
  printed = capsys.readouterr().out
  assert 'read 3, kept 2, rejected 1' in printed
  assert len(printed.splitlines()) <= 6
  card = json.loads((out / 'data_card.json').read_text())
  assert (card['read'], card['kept']) == (3, 2)
  assert card['read'] == card['kept'] + sum(card['rejected'].values())
  assert card['rejected']['empty_response'] == 1
  assert card['anomalies']['duplicate_prompts'] == 1
  assert card['sides'] == {'harmless': 2}
  assert card['turns'] == {'1': 2}
  assert list(card['sha256']) == ['in/harmless_base.test.jsonl.gz']
  again = comparisons_lib.read_comparisons(out / 'comparisons.jsonl')
  assert (
    again.comparisons == comparisons_lib.read_comparisons(source).comparisons
  )


def test_card_of_the_official_file(real_data, tmp_path):
  file = real_data / 'hh_rlhf' / 'harmless_base.test.jsonl.gz'
  assert run(file, tmp_path) == 0
  card = json.loads((tmp_path / 'data_card.json').read_text())
  assert (card['read'], card['kept']) == (2312, 2299)
  assert card['characters']['p50'] == 504.5
  assert card['characters']['p90'] == 1369
  assert card['characters']['max'] == 3962


def test_same_card_is_no_conflict_and_another_is(source, tmp_path, capsys):
  out = tmp_path / 'out'
  assert run(source, out) == 0
  assert run(source, out) == 0
  before = (out / 'data_card.json').read_bytes()
  other = samples.write(tmp_path / 'other.jsonl', ROWS[:1])
  capsys.readouterr()
  assert run(other, out) == 2
  error = capsys.readouterr().err
  assert len(error.splitlines()) == 1
  assert 'card of other data' in error
  assert (out / 'data_card.json').read_bytes() == before
  assert len((out / 'comparisons.jsonl').read_text().splitlines()) == 2


def test_out_must_be_a_folder(source, tmp_path, capsys):
  out = tmp_path / 'file'
  out.write_text('x')
  assert run(source, out) == 2
  assert 'must be a folder' in capsys.readouterr().err


def test_nothing_is_written_over(source, tmp_path, capsys):
  before = source.read_bytes()
  assert run(source, source.parent) == 2
  assert run(source.parent, source.parent) == 2
  assert 'where the comparisons are read from' in capsys.readouterr().err
  assert source.read_bytes() == before
  assert list(source.parent.iterdir()) == [source]
  other = samples.write(tmp_path / 'mine' / 'comparisons.jsonl', ROWS[:1])
  before = other.read_bytes()
  assert run(source, other.parent) == 2
  assert 'without a data card' in capsys.readouterr().err
  assert other.read_bytes() == before


def test_bad_input_answers_in_one_line(tmp_path):
  path = samples.write(tmp_path / 'pairs.jsonl.gz', ROWS)
  path.write_bytes(path.read_bytes()[:-20])
  out = tmp_path / 'out'
  command = [sys.executable, '-m', 'hh_jax.data.prepare']
  done = subprocess.run(
    [*command, f'--source={path}', f'--out={out}'],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert len(done.stderr.splitlines()) == 1
  assert str(path) in done.stderr
  assert 'Traceback' not in done.stderr
  assert not out.exists()
