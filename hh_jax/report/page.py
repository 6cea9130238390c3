"""The run's page: one HTML file that needs nothing else.

    python -m hh_jax.report.page --workdir=DIR

1. Only result files are read: `results.json`, the stages' `metrics.jsonl` and
   `config.json`.
2. Figures are inline SVG that follow the reader's theme; there is no script
   and no external resource, and every text of a model is escaped.
3. A section whose numbers are missing is left out and named in a list.
4. Every figure lies in `figures/` as SVG, CSV and JSON, and the main ones on
   one sheet, `figures/overview`, as PNG too.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

import jinja2
import markupsafe

from hh_jax.report import findings, policy_figures, record, style, table
from hh_jax.report import run as run_lib
from hh_jax.report import sections as sections_lib
from hh_jax.training import files

FILE = 'report.html'
_TEMPLATES = pathlib.Path(__file__).parent / 'templates'
_OVERVIEW = (
  'pm_accuracy',
  'calibration_mixture',
  'frontier_pm',
  'frontier_gold',
  'elo',
  'tension',
)


def write(workdir: str | pathlib.Path, command: str = '') -> pathlib.Path:
  """Writes `report.html` and `figures/` of a run.

  Args:
    workdir: Folder with `results.json`, stage folders, or both; or the workdir
      of one finished stage.
    command: Shell command that was run, where no result file says it.

  Returns:
    Path of the page.
  """
  run = run_lib.read_run(pathlib.Path(workdir))
  if command:
    run = dataclasses.replace(run, values={**run.values, 'command': command})
  frontier = policy_figures.read_frontier(run)
  sections = sections_lib.all_sections(run, frontier)
  pictures = [picture for section in sections for picture in section.pictures]
  text = template().render(
    title=_title(run),
    facts=_facts(run),
    tiles=_tiles(run, frontier),
    findings=findings.find(run, frontier),
    drawings=save_figures(run.workdir / 'figures', pictures),
    sections=[section for section in sections if section.is_available],
    missing=[
      section
      for section in sections
      if not section.is_available and not run.is_stage
    ],
  )
  path = run.workdir / FILE
  files.write_atomic(path, text)
  return path


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the page of a workdir; returns the exit status."""
  parser = argparse.ArgumentParser(
    prog='python -m hh_jax.report.page',
    description='Writes report.html and figures/ from the result files.',
  )
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  options = parser.parse_args(arguments)
  try:
    print(write(options.workdir))
  except ValueError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


def template() -> jinja2.Template:
  """The page's template, which escapes all that it is given."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['show'] = table.format_value
  environment.filters['label'] = run_lib.label
  return environment.get_template('report.html.j2')


def save_figures(
  folder: pathlib.Path, pictures: Sequence[style.Picture]
) -> dict[str, markupsafe.Markup]:
  """Writes every figure; returns them as elements of the page, by name."""
  folder.mkdir(parents=True, exist_ok=True)
  elements = {}
  for picture in pictures:
    text = style.svg(picture.name, [picture])
    # Our own drawing is the one thing in the page that is not escaped.
    elements[picture.name] = markupsafe.Markup(style.inline(picture.name, text))
    (folder / f'{picture.name}.svg').write_text(text, encoding='utf-8')
    style.write_numbers([picture], folder / picture.name)
  named = {picture.name: picture for picture in pictures}
  overview = [named[name] for name in _OVERVIEW if name in named]
  if overview:
    text = style.svg('overview', overview)
    (folder / 'overview.svg').write_text(text, encoding='utf-8')
    style.write_png(overview, folder / 'overview.png')
    style.write_numbers(overview, folder / 'overview')
  return elements


def _title(run: run_lib.Run) -> str:
  parts = [f'{k} {run.values[k]}' for k in ('world', 'size') if k in run.values]
  return ', '.join(parts).capitalize() or run.workdir.name


def _facts(run: run_lib.Run) -> list[tuple[str, str]]:
  """What was run, as pairs of a name and a text."""
  values = run.values
  found = [
    ('command', values.get('command')),
    ('commit', values.get('commit')),
    ('hardware', record.hardware_line(values.get('hardware'))),
    ('time of the stages', _duration(run_lib.number(values.get('seconds')))),
    ('seeds', values.get('seeds')),
    ('lab version', values.get('lab_version')),
    ('versions', record.versions_line(run.mapping('versions'))),
  ]
  return [
    (name, table.format_value(value))
    for name, value in found
    if value not in (None, '', [], {})
  ]


def _duration(seconds: float | None) -> str | None:
  if seconds is None:
    return None
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes} min'
  return f'{minutes} min {rest} s' if minutes else f'{rest} s'


def _tiles(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> list[tuple[str, str, str]]:
  """The few numbers to see first: name, value and interval."""
  accuracy = run_lib.bands(run.mapping('pm_accuracy'))
  ratings = run_lib.bands(run_lib.as_mapping(run.mapping('elo').get('overall')))
  tiles = []
  for side in ('helpful', 'harmless'):
    if side in accuracy:
      low, mid, high = (100 * x for x in accuracy[side])
      interval = f'{low:.1f} to {high:.1f}'
      tiles.append((f'PM accuracy, {side}', f'{mid:.1f} %', interval))
  if 'rlhf' in ratings:
    low, mid, high = ratings['rlhf']
    interval = f'{low:+.0f} to {high:+.0f}'
    tiles.append(('RLHF over π0', f'{mid:+.0f} Elo', interval))
  if frontier is not None:
    parting = 'train and held-out PM do not part'
    if frontier.parting is not None:
      place = frontier.roots[frontier.parting]
      parting = f'train and held-out PM part at {place:.1f}'
    tiles.append(('√KL reached', f'{frontier.roots[-1]:.1f}', parting))
  return tiles


if __name__ == '__main__':
  sys.exit(main())
