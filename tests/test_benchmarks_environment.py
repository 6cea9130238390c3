"""The environments of the sides: allocators, interpreters, installs."""

import sys

from benchmarks import environment


def test_both_sides_get_the_same_allocator(tmp_path):
  ours = environment.of_side(tmp_path, True, 'ppo')
  theirs = environment.of_side(tmp_path, False, 'ppo')
  assert theirs.pop('PYTHONPATH') == str(tmp_path / 'ppo')
  ours.pop('PYTHONPATH', None)
  assert ours == theirs


def test_every_side_has_its_own_python(tmp_path):
  python = environment.python_of
  assert python(tmp_path, True, 'ppo') == sys.executable
  assert python(tmp_path, False, 'ppo') == str(tmp_path / 'bin/python')
  place = tmp_path / 'tunix/bin/python'
  assert python(tmp_path, False, 'ppo_tunix') == str(place)
  assert python(tmp_path, False, 'ppo', 'given') == 'given'
  assert python(tmp_path, False, 'ppo_tunix', 'given') == str(place)
  assert python(tmp_path, True, 'ppo', 'given') == sys.executable


def test_tunix_is_installed_where_it_runs(tmp_path, monkeypatch):
  made = []
  monkeypatch.setattr(environment, 'make_torch', made.append)
  monkeypatch.setattr(environment, 'make_tunix', made.append)
  environment.make(tmp_path, 'gpu', 'given')
  assert not made
  environment.make(tmp_path, 'cpu', 'given')
  assert made == [tmp_path / 'tunix']
  environment.make(tmp_path, 'gpu')
  assert made[1:] == [tmp_path]
