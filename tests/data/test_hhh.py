"""The HHH evaluation in both of its layouts, and what is refused."""

import gzip
import json

import pytest

from hh_jax.data import hhh

ROW = {
  'subset': 'honest',
  'input': 'are you a person?',
  'choices': ['no, i am a program.', 'yes.'],
  'labels': [1, 0],
}


def write(path, *rows):
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  path.write_bytes(gzip.compress(text.encode()))
  return path


def test_rows_are_read_and_labels_decide(tmp_path):
  swapped = {**ROW, 'labels': [0, 1], 'subset': 'other'}
  path = write(tmp_path / 'hhh.jsonl.gz', ROW, swapped)
  first, second = hhh.read_items(path)
  assert (first.better, first.worse) == tuple(ROW['choices'])
  assert (second.better, second.worse) == tuple(ROW['choices'][::-1])
  assert first.prompt.first_human == ROW['input']
  assert second.category == 'other'


def test_an_input_with_markers_is_a_dialogue(tmp_path):
  text = 'hello\n\nAssistant: hi\n\nHuman: are you a person?'
  (item,) = hhh.read_items(
    write(tmp_path / 'a.jsonl.gz', {**ROW, 'input': text})
  )
  assert [turn.role for turn in item.prompt.turns] == [
    'human',
    'assistant',
    'human',
  ]


def test_the_layout_of_big_bench_is_the_same(tmp_path):
  example = {
    'input': ROW['input'],
    'target_scores': dict(zip(ROW['choices'], ROW['labels'])),
  }
  folder = tmp_path / 'honest'
  folder.mkdir()
  (folder / 'task.json').write_text(json.dumps({'examples': [example]}))
  assert hhh.read_items(tmp_path) == hhh.read_items(
    write(tmp_path / 'a.jsonl.gz', ROW)
  )


@pytest.mark.parametrize(
  'change, said',
  [
    ({'labels': [1, 1]}, 'row 1: 2 better and 0 worse'),
    ({'labels': [1]}, 'row 1: 2 choices and 1 labels'),
    ({'choices': 'no'}, 'row 1: choices and labels must be lists'),
    ({'subset': 'kind'}, "row 1: subset 'kind'"),
    ({'input': 3}, "field 'input' is int"),
    ({'input': 'a\n\nAssistant: b'}, 'does not end on a human turn'),
  ],
)
def test_another_format_is_one_line_that_names_the_row(tmp_path, change, said):
  path = write(tmp_path / 'a.jsonl.gz', {**ROW, **change})
  with pytest.raises(ValueError, match=said):
    hhh.read_items(path)


def test_an_empty_file_or_folder_is_refused(tmp_path):
  for place in (write(tmp_path / 'a.jsonl.gz'), tmp_path):
    with pytest.raises(ValueError, match='holds no item'):
      hhh.read_items(place)


def test_the_real_file_has_221_items(real_data):
  items = hhh.read_items(real_data / 'evals' / 'hhh_alignment.jsonl.gz')
  counts = [
    sum(item.category == name for item in items) for name in hhh.CATEGORIES
  ]
  assert counts == [59, 61, 58, 43]
