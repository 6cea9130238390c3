"""A tranche that was made elsewhere: whose replies, and whether it is whole."""

import json

import pytest

from hh_jax.stages import given_tranche, tranche_files
from tests.data import samples

SPECS = {
  'a': {'name': 'snapshot', 'state_sha256': 'one'},
  'b': {'name': 'best', 'state_sha256': 'one', 'pm_state_sha256': 'pm'},
  'c': {'name': 'stranger', 'state_sha256': 'two'},
  'd': {'name': 'vllm', 'kind': 'http'},
}


def export(*models, specs=SPECS):
  """Files of an export with one comparison for each pair of models."""
  rows = [
    tranche_files.Row(
      'helpful',
      'train',
      tranche_files.pair(samples.dialogue(f'Question {n}?'), 'Yes.', 'No.'),
      {'chosen_model': chosen, 'rejected_model': rejected},
    )
    for n, (chosen, rejected) in enumerate(models)
  ]
  return tranche_files.make(rows, 'online', {'chosen': len(rows)}, models=specs)


@pytest.mark.parametrize(
  'models, unknown, total',
  [
    ([('a', 'b'), (None, 'a')], [], 0),  # an edit is by no model
    ([('a', 'c'), ('c', 'a'), ('a', 'a')], ['stranger (c)'], 2),
    ([('c', 'd')], ['stranger (c)', 'vllm (d)'], 1),
    ([('a', 'e')], ['unnamed (e)'], 1),
  ],
)
def test_replies_of_unknown_models_are_counted(models, unknown, total):
  by_model, found = given_tranche.count_models(export(*models), {'one'}, ['pm'])
  assert list(by_model) == unknown
  assert found == total


def test_the_best_of_k_needs_a_known_preference_model():
  made = export(('a', 'b'))
  assert given_tranche.count_models(made, ['one'], ['other'])[1] == 1


def test_what_was_exported_is_read_back(tmp_path):
  made = export(('a', 'b'))
  tranche_files.write(made, tmp_path / 'out')
  assert given_tranche.read(str(tmp_path / 'out')) == made


def test_a_changed_file_is_named(tmp_path):
  tranche_files.write(export(('a', 'b')), tmp_path / 'out')
  path = tmp_path / 'out/helpful-online/train.jsonl.gz'
  path.write_bytes(path.read_bytes() + b'\0')
  with pytest.raises(ValueError, match=r'train\.jsonl\.gz is not what was'):
    given_tranche.read(str(tmp_path / 'out'))
  path.unlink()
  with pytest.raises(ValueError, match=r'train\.jsonl\.gz is not what was'):
    given_tranche.read(str(tmp_path / 'out'))


@pytest.mark.parametrize('text', [None, '{', '[]', json.dumps({'rows': {}})])
def test_what_is_no_export_is_named(tmp_path, text):
  if text is not None:
    (tmp_path / 'export.json').write_text(text)
  with pytest.raises(ValueError, match=r'is no folder that hh_jax\.feedback'):
    given_tranche.read(str(tmp_path))


@pytest.mark.parametrize(
  'change, said',
  [
    ({'counts': None}, 'has no counts'),
    ({'models': []}, 'has no models'),
    ({'rows': None, 'sha256': None}, 'has no rows and no sha256'),
    ({'rows': {'a.jsonl.gz': 1}}, r'has no hash of a\.jsonl\.gz'),
    ({'sha256': {'../a': ''}}, r'\.\./a is outside of it'),
    ({'sha256': {'/etc/hosts': ''}}, '/etc/hosts is outside of it'),
  ],
)
def test_a_malformed_export_is_named(tmp_path, change, said):
  about = {'counts': {}, 'rows': {}, 'models': {}, 'sha256': {}, **change}
  (tmp_path / 'export.json').write_text(json.dumps(about))
  with pytest.raises(ValueError, match=f'hh_jax.feedback.export.*{said}'):
    given_tranche.read(str(tmp_path))


def test_comparisons_that_name_no_model_are_of_no_iteration():
  rows = [tranche_files.row_of(samples.comparison('A?'), 0.0)]
  made = tranche_files.make(rows, 'base', {}, models={})
  with pytest.raises(ValueError, match='does not say which models answered'):
    given_tranche.count_models(made, [], [])
