"""What made a number."""

import subprocess

import pytest

from hh_jax.training import provenance


@pytest.fixture
def checkout(tmp_path):
  _git(tmp_path, 'init', '-q')
  (tmp_path / 'code.py').write_text('x = 1\n')
  _git(tmp_path, 'add', '.')
  _git(tmp_path, 'commit', '-q', '-m', 'one', '--no-gpg-sign')
  return tmp_path


def test_commit_of_a_clean_and_of_a_changed_checkout(checkout):
  clean = provenance.commit(checkout)
  assert len(clean) == 40
  (checkout / 'results').mkdir()
  result = checkout / 'results' / 'a.json'
  result.write_text('{}')
  assert provenance.commit(checkout) == f'{clean}+dirty'
  assert provenance.commit(checkout, ignore=result) == clean
  (checkout / 'code.py').write_text('x = 2\n')
  assert provenance.commit(checkout, ignore=result) == f'{clean}+dirty'


def test_commit_outside_a_checkout_is_unknown(tmp_path):
  assert provenance.commit(tmp_path) == 'unknown'


def _git(root, *arguments):
  subprocess.run(
    [
      'git',
      '-C',
      root,
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@b',
      *arguments,
    ],
    check=True,
    capture_output=True,
  )
