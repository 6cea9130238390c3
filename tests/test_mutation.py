"""What the mutation score is made of; the score itself is in results/."""

import json
import subprocess
import sys

import pytest

from benchmarks import mutation
from tests import scripts


def test_every_file_of_losses_and_ops_has_tests_of_its_own():
  found = mutation.modules()
  assert len(found) > 10
  for module in found:
    assert (scripts.ROOT / module.path).is_file()
    assert module.tests
    assert all((scripts.ROOT / test).exists() for test in module.tests)


@pytest.mark.parametrize(
  ('operator', 'line', 'expected'),
  [
    ('ReplaceBinaryOperator_Add_Sub', 'return a + b', True),
    ('ReplaceBinaryOperator_Add_RShift', 'return a + b', False),
    ('ReplaceBinaryOperator_BitOr_BitAnd', 'x = p | q', True),
    ('ReplaceBinaryOperator_BitOr_BitAnd', '  x: int | None,', False),
    ('ReplaceComparisonOperator_Lt_LtE', 'if a < b:', True),
    ('ReplaceComparisonOperator_Lt_Is', 'if a < b:', False),
    ('NumberReplacer', 'x = 3', True),
  ],
)
def test_changes_that_any_test_would_notice_do_not_count(
  operator, line, expected
):
  assert mutation.is_telling(operator, line) == expected


def test_a_change_is_noticed_by_the_copy_of_the_tests(tmp_path):
  """In a process of its own: it forks, and this one has threads."""
  (tmp_path / 'own.py').write_text('def half(x):\n  return x / 2\n')
  (tmp_path / 'test_own.py').write_text(
    'import own\n\n\ndef test_half():\n  assert own.half(4) == 2\n'
  )
  code = (
    'import json, pathlib, sys\n'
    'from benchmarks import mutation\n'
    'place = pathlib.Path(sys.argv[1])\n'
    'found = [mutation.is_noticed(place, ["test_own.py"])]\n'
    '(place / "own.py").write_text("def half(x):\\n  return x * 2\\n")\n'
    'found.append(mutation.is_noticed(place, ["test_own.py"]))\n'
    'mutation.TIMEOUT = 0.3\n'
    '(place / "own.py").write_text("while True:\\n  pass\\n")\n'
    'found.append(mutation.is_noticed(place, ["test_own.py"]))\n'
    'print(json.dumps(found))\n'
  )
  said = subprocess.check_output(
    [sys.executable, '-c', code, str(tmp_path)], cwd=scripts.ROOT, text=True
  )
  assert json.loads(said) == [False, True, True]


def test_modules_that_are_done_are_not_measured_again(tmp_path):
  path = tmp_path / 'mutation.json'
  assert mutation.begun(path) == ([], 0.0)
  rows = [{'module': 'losses/ppo', 'changes': 3, 'noticed': 2}]
  mutation.write(path, rows, 12.0)
  assert mutation.begun(path) == (rows, 12.0)
  saved = json.loads(path.read_text())
  path.write_text(json.dumps({**saved, 'commit': 'another'}))
  with pytest.raises(SystemExit, match='is of another and this is'):
    mutation.begun(path)
