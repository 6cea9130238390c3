"""Keeps the measured tables of the README equal to the result files.

    python -m hh_jax.report.readme            rewrites README.md
    python -m hh_jax.report.readme --check    exits 1 if it would change

Between `<!-- results:NAME -->` and `<!-- /results -->` stands a table made
from `results/NAME.json` and a line that says how it was measured. A part of
the values is shown by its path, `<!-- results:NAME#elo.overall -->`, and some
of the columns by their names, `<!-- results:NAME[job,ratio] -->`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Sequence

from hh_jax.report import record, table

_MARKER = re.compile(r'<!-- (results:(?P<name>\S+)|/results) -->')


def render(text: str, results: pathlib.Path) -> str:
  """Fills every marked place of a text.

  Args:
    text: Markdown with markers.
    results: Folder of the result files.

  Returns:
    The text with fresh tables.
  """
  pieces: list[str] = []
  position, opened = 0, ''
  for marker in _MARKER.finditer(text):
    name = marker['name']
    if name and opened:
      raise ValueError(f'results:{name} opens before results:{opened} closes')
    if not name and not opened:
      line = text.count('\n', 0, marker.start()) + 1
      raise ValueError(f'line {line}: <!-- /results --> closes nothing')
    if name:
      pieces.append(text[position : marker.end()])
      opened = name
    else:
      pieces.append(f'\n{_section(results, opened)}\n{marker[0]}')
      opened = ''
    position = marker.end()
  if opened:
    raise ValueError(f'results:{opened} is never closed')
  return ''.join([*pieces, text[position:]])


def describe(result: dict[str, table.Value]) -> str:
  """One line on how the numbers of a result file were made."""
  seeds = table.format_value(result['seeds']) or 'none'
  return (
    f'`{result["command"]}` at {str(result["commit"])[:12]}'
    f'{"+dirty" if str(result["commit"]).endswith("+dirty") else ""} on '
    f'{record.hardware_line(result["hardware"])}; '
    f'{table.format_number(float(str(result["seconds"])))} s; '
    f'seeds {seeds}; {record.versions_line(result["versions"])}.'
  )


def main(arguments: Sequence[str] | None = None) -> int:
  """Rewrites or checks the README; returns the exit status."""
  parser = argparse.ArgumentParser(
    prog='python -m hh_jax.report.readme',
    description='Fills the measured tables of the README from results/.',
  )
  parser.add_argument('--readme', type=pathlib.Path, default='README.md')
  parser.add_argument('--results', type=pathlib.Path, default='results')
  parser.add_argument(
    '--check', action='store_true', help='write nothing; exit 1 on a change'
  )
  options = parser.parse_args(arguments)
  try:
    text = options.readme.read_text(encoding='utf-8')
    fresh = render(text, options.results)
  except (OSError, ValueError) as error:
    print(f'error: {options.readme}: {error}', file=sys.stderr)
    return 2
  if fresh == text:
    return 0
  if options.check:
    print(
      f'{options.readme} differs from {options.results}: run '
      '`python -m hh_jax.report.readme`',
      file=sys.stderr,
    )
    return 1
  options.readme.write_text(fresh, encoding='utf-8')
  return 0


def _section(results: pathlib.Path, place: str) -> str:
  place, _, columns = place.removesuffix(']').partition('[')
  name, _, part = place.partition('#')
  path = results / f'{name}.json'
  if not path.resolve().is_relative_to(results.resolve()):
    raise ValueError(f'results:{name} lies outside {results}')
  if not path.is_file():
    raise ValueError(f'results:{name} has no file {path}')
  result = json.loads(path.read_text(encoding='utf-8'))
  missing = [field for field in record.FIELDS if field not in result]
  if missing:
    raise ValueError(f'{path} lacks {missing}')
  rows = table.rows_of(table.at_path(result['values'], part))
  shown = table.markdown_table(rows, columns.split(',') if columns else None)
  return f'\n{shown}\n\n{describe(result)}\n'


if __name__ == '__main__':
  sys.exit(main())
