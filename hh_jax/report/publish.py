"""A figure's numbers and pictures as files, and the page of all figures.

1. `figures/figNN/` of a workdir gets `values.json`, every picture as SVG, PNG,
   CSV and JSON, and `section.json`, which says how the page shows them.
2. `report.html` is made from those folders alone: a section a figure, in their
   order.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import markupsafe
from matplotlib.axes import Axes

from hh_jax.config import FigureConfig
from hh_jax.report import layout, page, record, style, table
from hh_jax.report import run as run_lib
from hh_jax.report.style import Picture
from hh_jax.stages import inputs, lineage
from hh_jax.training import files
from hh_jax.training import workdir as workdir_lib

FIGURES = 'figures'
SECTION, VALUES = 'section.json', 'values.json'
SAMPLES = 'samples'  # key of the values that are prompts with replies


def _nothing(values: Mapping[str, table.Value]) -> str:
  """What a figure whose lead says all adds to it."""
  return ''


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of the paper: what it is called and how it is made."""

  name: str  # 'fig07'
  title: str
  lead: str  # how to read it
  study: Callable[[Any, pathlib.Path], dict[str, Any]]
  draw: Callable[[Mapping[str, table.Value]], list[Picture]]
  # What its numbers say, in words after the lead.
  say: Callable[[Mapping[str, table.Value]], str] = _nothing


def run(
  figure: Figure,
  config: FigureConfig,
  workdir: str | pathlib.Path,
  command: str,
) -> str:
  """Measures a figure, writes its files and the page; returns one line.

  Args:
    figure: Which.
    config: Its models and what it varies.
    workdir: Of the figures, which share their models.
    command: Shell command that was run.
  """
  started = time.time()
  inputs.require(config)
  workdir = pathlib.Path(workdir)
  with lineage.noted() as models:
    values = figure.study(config, workdir)
  path = write(workdir, figure, values, command)
  seconds = time.time() - started
  training = lineage.seconds_of(models)
  if config.record:
    record.write_result(
      config.record,
      values,
      command=command,
      seeds=config.seeds,
      seconds=max(seconds, training),
    )
  return (
    f'{figure.title} ({seconds:.0f} s; its {len(models)} models took '
    f'{training:.0f} s to train)\nreport: {path}'
  )


def write(
  workdir: pathlib.Path,
  figure: Figure,
  values: Mapping[str, table.Value],
  command: str,
) -> pathlib.Path:
  """Writes a figure's files and the page of all figures; returns its path."""
  folder = workdir / FIGURES / figure.name
  folder.mkdir(parents=True, exist_ok=True)
  pictures = figure.draw(values)
  for picture in pictures:
    text = style.svg(picture.name, [picture])
    files.write_atomic(folder / f'{picture.name}.svg', text)
    style.write_png([picture], folder / f'{picture.name}.png')
    style.write_numbers([picture], folder / picture.name)
  workdir_lib.write_json(folder / VALUES, record.to_plain(values))
  shown = [{'name': p.name, 'title': p.title, 'alt': p.alt} for p in pictures]
  workdir_lib.write_json(
    folder / SECTION,
    {
      'title': figure.title,
      'lead': f'{figure.lead} {figure.say(values)}'.strip(),
      'command': command,
      'pictures': shown,
      'tables': record.to_plain(tables_of(values)),
      'samples': record.to_plain(values.get(SAMPLES, [])),
    },
  )
  return write_page(workdir)


def tables_of(
  values: Mapping[str, table.Value],
) -> dict[str, list[run_lib.Row]]:
  """A table for each list of rows and each mapping, by caption.

  Prompts with replies are no rows of a table.
  """
  found = {}
  for name, value in values.items():
    rows = run_lib.as_rows(value) if name != SAMPLES else []
    if not rows and run_lib.as_mapping(value):
      rows = layout.by_name(run_lib.as_mapping(value), 'name')
    if rows:
      found[run_lib.label(name).capitalize()] = rows
  return found


def write_page(workdir: pathlib.Path) -> pathlib.Path:
  """Writes `report.html` from the figures in a workdir."""
  folders = sorted(
    path.parent for path in workdir.glob(f'{FIGURES}/*/{SECTION}')
  )
  drawings: dict[str, markupsafe.Markup] = {}
  sections, facts = [], []
  for folder in folders:
    shown = json.loads((folder / SECTION).read_text(encoding='utf-8'))
    for picture in shown['pictures']:
      name = picture['name']
      text = (folder / f'{name}.svg').read_text(encoding='utf-8')
      # Our own drawing is the one thing in the page that is not escaped.
      drawings[name] = markupsafe.Markup(style.inline(name, text))
    sections.append(_section(folder.name, shown))
    facts.append((folder.name, shown['command']))
  path = workdir / page.FILE
  files.write_atomic(
    path,
    page.template().render(
      title='Figures of the paper',
      facts=facts,
      tiles=[],
      findings=[],
      drawings=drawings,
      sections=sections,
      missing=[],
    ),
  )
  return path


def _section(key: str, shown: Mapping[str, table.Value]) -> layout.Section:
  pictures = [
    Picture(str(p['name']), str(p['title']), str(p['alt']), _is_drawn, [], '')
    for p in run_lib.as_rows(shown['pictures'])
  ]
  tables = [
    made
    for caption, rows in run_lib.as_mapping(shown['tables']).items()
    for made in layout.make_table(caption, run_lib.as_rows(rows))
  ]
  return layout.Section(
    key,
    str(shown['title']),
    str(shown['lead']),
    pictures=pictures,
    tables=tables,
    samples=[
      layout.read_sample(row) for row in run_lib.as_rows(shown[SAMPLES])
    ],
  )


def _is_drawn(axes: Axes) -> None:
  """A picture that lies in a file need not be drawn again."""
