"""Comparison files: every row kept or rejected by name; errors; splits."""

import gzip
import json
import pathlib

import pytest

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import tranches
from tests.data import samples

GOOD = samples.row('Hi', 'Hello.', 'Go away.')
H, A = '\n\nHuman: ', '\n\nAssistant: '

# One row for each reason, with a fault of that kind and none before it.
FAULTY = {
  'no_final_assistant': {'chosen': f'{H}a{A}b{H}c', 'rejected': f'{H}a{A}d'},
  'no_first_human': {'chosen': f'x{H}a{A}b', 'rejected': f'x{H}a{A}c'},
  'prompt_mismatch': {'chosen': f'{H}a{A}b', 'rejected': f'{H}A{A}b'},
  'roles_do_not_alternate': {
    'chosen': f'{H}a{H}b{A}c',
    'rejected': f'{H}a{H}b{A}d',
  },
  'empty_response': {'chosen': f'{H}a{A}', 'rejected': f'{H}a{A}b'},
  'identical_pair': {'chosen': f'{H}a{A}b', 'rejected': f'{H}a{A}b'},
  'bad_weight': {**GOOD, 'weight': -1},
}


@pytest.fixture
def read_rows(tmp_path):
  def read(*rows):
    path = samples.write(tmp_path / 'helpful_base.test.jsonl', list(rows))
    return comparisons_lib.read_comparisons(path)

  return read


def test_anomalies_of_the_official_file(real_data):
  found = samples.official(real_data)
  assert found.num_read == 2312
  assert found.anomalies['empty_responses'] == 4
  assert found.anomalies['differing_prompts'] == 5
  assert found.anomalies['non_alternating_transcripts'] == 8
  assert found.anomalies['non_alternating_in_differing'] == 5
  assert found.anomalies['duplicate_prompts'] == 2
  assert {name: n for name, n in found.rejected.items() if n} == {
    'prompt_mismatch': 5,
    'roles_do_not_alternate': 4,
    'empty_response': 4,
  }
  assert found.num_kept == 2312 - 13
  assert {pair.side for pair in found.comparisons} == {'harmless'}
  assert {pair.tranche for pair in found.comparisons} == {'harmless-base'}
  first_turns = {pair.prompt.first_human for pair in found.comparisons}
  assert len(first_turns) < found.num_kept


def test_kept_rows_of_the_official_file_round_trip(real_data):
  path = real_data / 'hh_rlhf' / 'harmless_base.test.jsonl.gz'
  found = samples.official(real_data)
  with gzip.open(path, 'rt', encoding='utf-8') as stream:
    rows = [json.loads(line) for line in stream]
  pairs = {(row['chosen'], row['rejected']) for row in rows}
  assert len(pairs) == len(rows)
  for pair in found.comparisons:
    back = tuple(
      dialogue_lib.format_transcript(pair.prompt.reply(reply))
      for reply in (pair.chosen, pair.rejected)
    )
    assert back in pairs


def test_the_real_folder_is_a_layout_too(real_data):
  found = comparisons_lib.read_comparisons(real_data)
  assert len(found.sources) == 3
  assert found.num_read == found.num_kept + sum(found.rejected.values())
  assert {pair.tranche for pair in found.comparisons} == {
    'harmless-base',
    'helpful-base',
  }


@pytest.mark.parametrize('reason', comparisons_lib.REASONS)
def test_each_reason_is_named(read_rows, reason):
  found = read_rows(GOOD, FAULTY[reason])
  assert found.num_read == 2
  assert [pair.chosen for pair in found.comparisons] == ['Hello.']
  assert found.rejected[reason] == 1
  assert sum(found.rejected.values()) == 1


def test_first_reason_counts_and_every_anomaly_shows(read_rows):
  both = {'chosen': f'{H}a{A}b{A}', 'rejected': f'{H}a{A}c'}
  found = read_rows(GOOD, both, GOOD)
  assert found.rejected['prompt_mismatch'] == 1
  assert sum(found.rejected.values()) == 1
  assert found.anomalies['empty_responses'] == 1
  assert found.anomalies['non_alternating_in_differing'] == 1
  assert found.anomalies['duplicate_prompts'] == 1
  assert found.num_kept == 2


def test_fields_of_a_comparison(read_rows):
  row = {'chosen': f'{H}a{A}b{H}c{A}d', 'rejected': f'{H}a{A}b{H}c{A}e'}
  (pair,) = read_rows(row).comparisons
  assert pair == samples.comparison(
    'a', 'b', 'c', chosen='d', rejected='e', tranche='helpful-base'
  )
  assert pair.turn == 2


def test_official_layout(tmp_path):
  for tranche in tranches.TRANCHES:
    for name in ('train', 'test'):
      row = samples.row(f'{tranche} {name}', 'b', 'c')
      samples.write(tmp_path / tranche / f'{name}.jsonl.gz', [row])
  samples.write(tmp_path / 'red-team-attempts/red.jsonl.gz', [{'x': 1}])
  found = comparisons_lib.read_comparisons(tmp_path)
  assert found.num_kept == 8
  for pair in found.comparisons:
    assert pair.prompt.first_human.startswith(pair.tranche)
    assert pair.tranche.startswith(pair.side)


def test_every_tranche_is_read_and_other_folders_are_named(tmp_path, caplog):
  for name in ('harmless-mine/rows', 'helpful_2/train', 'red-team/attempts'):
    samples.write(tmp_path / f'{name}.jsonl', [samples.row('a', 'b', 'c')])
  with caplog.at_level('INFO'):
    files = tranches.comparison_files(tmp_path)
  assert [file.parent.name for file in files] == ['harmless-mine', 'helpful_2']
  assert 'left out' in caplog.text and 'red-team (1 files)' in caplog.text


def test_files_beside_the_tranches_are_read_too(tmp_path):
  for name in ('helpful-base/train', 'harmless_mine'):
    row = samples.row(f'{name}?', 'b', 'c')
    samples.write(tmp_path / f'{name}.jsonl', [row])
  found = comparisons_lib.read_comparisons(tmp_path).comparisons
  assert [pair.side for pair in found] == ['helpful', 'harmless']


@pytest.mark.parametrize(
  'name, expected',
  [
    ('harmless-base/test.jsonl.gz', ('harmless', 'harmless-base')),
    ('harmless_base.test.jsonl.gz', ('harmless', 'harmless-base')),
    ('helpful_base.train500.jsonl', ('helpful', 'helpful-base')),
    ('my_pairs.jsonl', ('helpful', 'my-pairs')),
    ('harmless-mine/rows.jsonl', ('harmless', 'harmless-mine')),
    ('harmless-mine/helpful_a.jsonl', ('helpful', 'helpful-a')),
    ('mine/test.jsonl', ('helpful', 'mine')),
  ],
)
def test_names(tmp_path, name, expected):
  assert tranches.names_of(tmp_path / name) == expected


def test_a_name_is_that_of_the_place_however_it_is_spelled(
  tmp_path, monkeypatch
):
  (tmp_path / 'harmless-base').mkdir()
  monkeypatch.chdir(tmp_path / 'harmless-base')
  found = tranches.names_of(pathlib.Path('test.jsonl'))
  assert found == ('harmless', 'harmless-base')


def test_rows_may_name_their_side(read_rows):
  row = {**GOOD, 'side': 'harmless', 'tranche': 'mine', 'weight': 2}
  (pair,) = read_rows(row).comparisons
  assert (pair.side, pair.tranche, pair.weight) == ('harmless', 'mine', 2.0)
  with pytest.raises(ValueError, match="row 1: side='rude'"):
    read_rows({**GOOD, 'side': 'rude'})


@pytest.mark.parametrize(
  'weight', [-0.5, float('nan'), float('inf'), 1e39, 10**400, None, '2', True]
)
def test_a_weight_is_a_finite_number_from_zero_on(read_rows, weight):
  found = read_rows({**GOOD, 'weight': 0}, {**GOOD, 'weight': weight})
  assert [pair.weight for pair in found.comparisons] == [0.0]
  assert found.rejected['bad_weight'] == 1


@pytest.mark.parametrize(
  'line, message',
  [
    ('{"chosen": "a"', 'row 2: not JSON'),
    ('[1]', 'row 2: a JSON list'),
    ('[' * 200_000, 'row 2: not JSON'),
    ('{"chosen": ' + '9' * 5000 + '}', 'row 2: not JSON'),
    ('{"chosen": "a"}', "row 2: field 'rejected' is NoneType"),
    ('{"chosen": 3, "rejected": "a"}', "row 2: field 'chosen' is int"),
    ('{"chosen": "\\ud800", "rejected": "a"}', 'row 2: .*surrogate'),
  ],
)
def test_malformed_rows_name_file_and_row(tmp_path, line, message):
  path = samples.write(tmp_path / 'pairs.jsonl', [GOOD])
  path.write_text(path.read_text() + line + '\n')
  with pytest.raises(ValueError, match=message) as error:
    comparisons_lib.read_comparisons(path)
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)


def test_truncated_gzip(tmp_path):
  rows = [samples.row(f'question {i}', f'yes {i}', 'no') for i in range(500)]
  path = samples.write(tmp_path / 'pairs.jsonl.gz', rows)
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(ValueError, match=r'truncated .* after row \d+'):
    comparisons_lib.read_comparisons(path)


def test_damaged_gzip(tmp_path):
  rows = [samples.row(f'question {i}', f'yes {i}', 'no') for i in range(500)]
  path = samples.write(tmp_path / 'pairs.jsonl.gz', rows)
  data = bytearray(path.read_bytes())
  data[-6] ^= 0xFF
  path.write_bytes(bytes(data))
  with pytest.raises(ValueError, match='damaged'):
    comparisons_lib.read_comparisons(path)


def test_what_is_not_data(tmp_path):
  with pytest.raises(ValueError, match='does not exist'):
    comparisons_lib.read_comparisons(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match='has no comparison files'):
    comparisons_lib.read_comparisons(tmp_path)
  pointer = tmp_path / 'test.jsonl.gz'
  pointer.write_text('version https://git-lfs.github.com/spec/v1\noid x\n')
  with pytest.raises(ValueError, match='git lfs pull'):
    comparisons_lib.read_comparisons(pointer)
  pointer.write_text('plain')
  with pytest.raises(ValueError, match='is not gzip'):
    comparisons_lib.read_comparisons(pointer)


def test_empty_set_is_an_error(read_rows):
  with pytest.raises(ValueError, match='no comparison kept of 0 rows'):
    read_rows()
  with pytest.raises(ValueError, match='no comparison kept of 1 rows'):
    read_rows(FAULTY['identical_pair'])


def test_prompt_must_end_on_a_human_turn():
  with pytest.raises(ValueError, match='does not end on a human turn'):
    samples.comparison('a', 'b')


def test_hash_is_fixed():
  # SHA-256 of the empty text begins with e3b0c44298fc1; computed by hand.
  assert comparisons_lib.hash_unit(' \n') == 0xE3B0C44298FC1 / 16**13
  assert comparisons_lib.hash_unit(' a ') == comparisons_lib.hash_unit('a')


def test_split_is_by_conversation_and_spans_are_disjoint():
  pairs = [
    samples.comparison(f'q{i // 2}', chosen=f'a{i}') for i in range(2000)
  ]
  split = comparisons_lib.split
  first, test = split(pairs, 0.2, 0.0, 0.5)
  second, same_test = split(pairs, 0.2, 0.5, 1.0)
  assert test == same_test
  assert len(first) + len(second) + len(test) == len(pairs)
  keys = [
    {pair.prompt.first_human for pair in part} for part in (first, second, test)
  ]
  assert sum(map(len, keys)) == len(set.union(*keys))
  assert 0.16 < len(test) / len(pairs) < 0.24
  assert 0.34 < len(first) / len(pairs) < 0.46
  whole, _ = split(pairs, 0.2)
  assert set(whole) == set(first) | set(second)


def test_set_from_list():
  pairs = [samples.comparison('a'), samples.comparison('b')]
  made = comparisons_lib.ComparisonSet.from_list(pairs)
  assert (made.num_read, made.num_kept) == (2, 2)
  assert sum(made.rejected.values()) == 0
