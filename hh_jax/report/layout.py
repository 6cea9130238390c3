"""What a section of the page is made of: tables, pictures and samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from hh_jax.report import run as run_lib
from hh_jax.report import table
from hh_jax.report.style import Picture

_HALF_PAGE = 56  # characters of a table's text


@dataclasses.dataclass(frozen=True)
class Cell:
  """Text of a table cell; `below` marks what is worse than chance."""

  text: str
  is_number: bool = False
  mark: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
  """A captioned table."""

  caption: str
  header: Sequence[str]
  rows: Sequence[Sequence[Cell]]

  @property
  def is_wide(self) -> bool:
    """Whether half the page is too narrow for it."""
    columns = zip(*([cell.text for cell in row] for row in self.rows))
    widths = (
      max(len(name), *(len(text) for text in column))
      for name, column in zip(self.header, columns)
    )
    return sum(widths) > _HALF_PAGE


@dataclasses.dataclass(frozen=True)
class Reply:
  """What one policy said."""

  name: str
  text: str
  score: str = ''
  is_after: bool = False


@dataclasses.dataclass(frozen=True)
class Sample:
  """A prompt and the replies of every policy."""

  side: str
  turns: Sequence[tuple[str, str]]  # role, text
  replies: Sequence[Reply]


@dataclasses.dataclass(frozen=True)
class Section:
  """A titled part of the page."""

  key: str
  title: str
  lead: str  # how to read it
  pictures: Sequence[Picture] = ()
  tables: Sequence[Table] = ()
  samples: Sequence[Sample] = ()
  needs: str = ''  # what would have to be there

  @property
  def is_available(self) -> bool:
    return bool(self.pictures or self.tables or self.samples)


def make_table(
  caption: str,
  rows: Sequence[run_lib.Row],
  columns: Sequence[str] | None = None,
  *,
  has_chance: bool = False,
  is_verbatim: bool = False,
) -> list[Table]:
  """Lays rows out; no rows make no table.

  Args:
    caption: What the table shows.
    rows: One mapping of column to value a row.
    columns: Order of the columns; by default as they first appear. Columns
      that hold nothing at all are left out.
    has_chance: Whether intervals are accuracies, so that those below 0.5 are
      marked.
    is_verbatim: Whether text stays as it is, and names are not put in words.

  Returns:
    One table or none.
  """
  if columns is None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
  used = [c for c in columns if any(row.get(c) is not None for row in rows)]
  if not rows or not used:
    return []
  cells = [
    [_cell(row.get(c), has_chance, is_verbatim) for c in used] for row in rows
  ]
  return [Table(caption, [run_lib.label(c) for c in used], cells)]


def _cell(value: table.Value, has_chance: bool, is_verbatim: bool) -> Cell:
  found = run_lib.band(value)
  mark = 'below' if has_chance and found and found[2] < 0.5 else ''
  text = table.format_value(value)
  if isinstance(value, str) and not is_verbatim and ' ' not in value:
    text = run_lib.label(value)
  return Cell(text, found is not None, mark)


def present(*pictures: Picture | None) -> list[Picture]:
  """The pictures that could be made."""
  return [picture for picture in pictures if picture is not None]


def by_name(values: run_lib.Row, name: str) -> list[run_lib.Row]:
  """One row an entry; plain values get a column `value`."""
  return [
    {name: key, **(row if isinstance(row, Mapping) else {'value': row})}
    for key, row in values.items()
  ]


def read_sample(row: run_lib.Row) -> Sample:
  """Reads a prompt and its replies, whichever there are."""
  names = {
    'before': 'before, π0',
    **{key: run_lib.label(key) for key in row if key.startswith('best_of_')},
    'after': 'after RLHF',
    'better': 'better',
    'worse': 'worse, yet preferred',
  }
  scores = {key: row.get(f'score_{key}') for key in names}
  return Sample(
    side=str(row.get('side') or ''),
    turns=_turns(row),
    replies=[
      Reply(
        name=name,
        text=str(row[key]).strip(),
        score='' if scores[key] is None else table.format_value(scores[key]),
        is_after=key == 'after',
      )
      for key, name in names.items()
      if row.get(key) is not None
    ],
  )


def read_course(row: run_lib.Row) -> Sample:
  """Reads a prompt and what one policy said to it along its training."""
  replies = run_lib.as_rows(row.get('replies'))
  return Sample(
    side=str(row.get('side') or ''),
    turns=_turns(row),
    replies=[
      Reply(
        name=f'iteration {reply.get("step")}',
        text=str(reply.get('text') or '').strip(),
        score=table.format_value(reply.get('score')),
        is_after=reply is replies[-1],
      )
      for reply in replies
    ],
  )


def _turns(row: run_lib.Row) -> list[tuple[str, str]]:
  return [
    (str(turn.get('role')), str(turn.get('text')))
    for turn in run_lib.as_rows(row.get('prompt'))
  ]
