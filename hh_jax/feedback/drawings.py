"""Small plots as inline SVG, without a script and without a library.

Colours and fonts are classes of the page's style sheet, so that a plot follows
the reader's theme. Every plot has a text that says what is to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import markupsafe
import numpy as np

WIDTH = 520.0  # of the view box; the page scales it
WIDE = 1040.0  # of a plot across the whole page
_LEFT, _RIGHT, _BOTTOM = 44.0, 12.0, 30.0
_ROW = 34.0  # height of a line of names


def _tag(name: str, content: str = '', **attributes: object) -> str:
  parts = ''.join(
    f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
    for key, value in attributes.items()
  )
  return f'<{name}{parts}>{content}</{name}>'


def _value(value: object) -> str:
  if isinstance(value, float):
    return f'{value:.2f}'.rstrip('0').rstrip('.')
  return str(markupsafe.escape(value))


def _text(x: float, y: float, text: str, **attributes: object) -> str:
  return _tag('text', str(markupsafe.escape(text)), x=x, y=y, **attributes)


def _svg(
  height: float, label: str, *content: str, width: float = WIDTH
) -> markupsafe.Markup:
  title = _tag('title', str(markupsafe.escape(label)))
  return markupsafe.Markup(
    _tag(
      'svg',
      title + ''.join(content),
      class_='plot',
      role='img',
      aria_label=label,
      viewBox=f'0 0 {width:g} {height:g}',
    )
  )


def nice_ticks(
  low: float, high: float, most: int = 5, smallest: float = 0.0
) -> list[float]:
  """Round numbers that span [low, high], at most `most` + 2 of them.

  Args:
    low: Lower end.
    high: Upper end.
    most: Steps between them.
    smallest: Step; 1 for counts.
  """
  span = max(high - low, 1e-9)
  step = 10 ** np.floor(np.log10(span / most))
  for factor in (1, 2, 5, 10):
    if span / (step * factor) <= most:
      step *= factor
      break
  step = max(step, smallest)
  first, last = np.floor(low / step), np.ceil(high / step)
  return [float(step * k) for k in np.arange(first, last + 1)]


def _short(value: float) -> str:
  return (
    f'{value:,.0f}'
    if abs(value) >= 10 or value == int(value)
    else (f'{value:.2g}')
  )


def bars(
  series: Mapping[str, Sequence[int]],
  labels: Sequence[str],
  label: str,
  *,
  width: float = WIDTH,
  every: int = 1,
  faint: Sequence[int] = (),
) -> markupsafe.Markup:
  """Stacked bars, one a label.

  Args:
    series: Heights of each series, told apart by colour in this order.
    labels: Under the bars.
    label: What is to be seen.
    width: WIDTH or WIDE.
    every: Only every so many labels are written, counted from the last.
    faint: Places of bars that count less.
  """
  height, top = 220.0, 10.0
  total = [sum(column) for column in zip(*series.values())]
  ticks = nice_ticks(0, max([*total, 1]), 4, smallest=1)
  scale = (height - _BOTTOM - top) / ticks[-1]
  base = height - _BOTTOM
  parts = []
  for tick in ticks:
    y = base - tick * scale
    parts.append(
      _tag('line', x1=_LEFT, x2=width - _RIGHT, y1=y, y2=y, class_='grid')
    )
    parts.append(
      _text(_LEFT - 6, y + 4, _short(tick), class_='tick', text_anchor='end')
    )
  slot = (width - _LEFT - _RIGHT) / max(len(labels), 1)
  for place, name in enumerate(labels):
    x, y = _LEFT + place * slot, base
    for index, values in enumerate(series.values()):
      size = values[place] * scale
      y -= size
      if size:
        kind = f'fill-{index}' + (' faint' if place in faint else '')
        parts.append(
          _tag(
            'rect',
            _tag('title', str(markupsafe.escape(f'{name}: {values[place]}'))),
            x=x + slot * 0.12,
            y=y,
            width=slot * 0.76,
            height=size,
            rx=1.5,
            class_=kind,
          )
        )
    if (len(labels) - 1 - place) % every == 0:
      parts.append(
        _text(
          x + slot / 2, height - 10, name, class_='tick', text_anchor='middle'
        )
      )
  return _svg(height, label, *parts, width=width)


def intervals(
  names: Sequence[str],
  values: np.ndarray,
  label: str,
  zero: str = '',
) -> markupsafe.Markup:
  """A dot with its interval for every name, on one horizontal scale.

  Args:
    names: One a line.
    values: [N, 3] `low, mid, high`.
    label: What is to be seen.
    zero: What 0 stands for, written at its line.
  """
  left = 150.0
  height = 24 + _ROW * len(names) + _BOTTOM
  finite = values[np.isfinite(values)]
  low, high = min([*finite, 0.0]), max([*finite, 0.0])
  ticks = nice_ticks(low, high if high > low else low + 1)
  scale = (WIDTH - left - 3 * _RIGHT) / (ticks[-1] - ticks[0])

  def place(value: float) -> float:
    return left + (value - ticks[0]) * scale

  base = height - _BOTTOM
  parts = []
  for tick in ticks:
    kind = 'grid strong' if tick == 0 else 'grid'
    x = place(tick)
    parts.append(_tag('line', x1=x, x2=x, y1=18, y2=base, class_=kind))
    parts.append(
      _text(x, height - 10, _short(tick), class_='tick', text_anchor='middle')
    )
  if zero:
    parts.append(_text(place(0), 12, zero, class_='tick', text_anchor='middle'))
  for index, (name, (start, middle, end)) in enumerate(zip(names, values)):
    y = 18 + _ROW * (index + 0.5)
    said = f'{name}: {middle:+.0f}, interval {start:+.0f} to {end:+.0f}'
    parts.append(
      _text(left - 12, y + 4, _cut(name), class_='name', text_anchor='end')
    )
    parts.append(
      _tag(
        'g',
        _tag('title', str(markupsafe.escape(said)))
        + _tag('line', x1=place(start), x2=place(end), y1=y, y2=y, class_='bar')
        + _tag('circle', cx=place(middle), cy=y, r=5.5, class_='dot'),
      )
    )
  return _svg(height, label, *parts)


def win_rates(
  names: Sequence[str], wins: np.ndarray, label: str
) -> markupsafe.Markup:
  """A square for every pair: the share of games that the row's name won.

  Args:
    names: Of rows and columns.
    wins: [M, M] games that the row won over the column.
    label: What is to be seen.
  """
  left, top = 150.0, 30.0
  side = min((WIDTH - left - _RIGHT) / len(names), 96.0)
  cell = min(side, 44.0)
  height = top + cell * len(names) + 8
  parts = []
  for index, name in enumerate(names):
    y, x = top + cell * (index + 0.5) + 4, left + side * (index + 0.5)
    parts.append(
      _text(left - 12, y, _cut(name), class_='name', text_anchor='end')
    )
    parts.append(
      _text(x, top - 10, _cut(name, 12), class_='tick', text_anchor='middle')
    )
  for row, name in enumerate(names):
    for column, other in enumerate(names):
      games = wins[row, column] + wins[column, row]
      if row == column or not games:
        continue
      share = wins[row, column] / games
      said = f'{name} won {share:.0%} of {games:g} games against {other}'
      x, y = left + side * column, top + cell * row
      # Eleven classes, because a style sheet takes no numbers from the page.
      shade = f'shade-{round(10 * share)}'
      parts.append(
        _tag(
          'g',
          _tag('title', str(markupsafe.escape(said)))
          + _tag(
            'rect',
            x=x + 1,
            y=y + 1,
            width=side - 2,
            height=cell - 2,
            rx=3,
            class_=f'cell {shade}',
          )
          + _text(
            x + side / 2,
            y + cell / 2 + 4,
            f'{share:.0%}',
            class_=f'share {shade}',
            text_anchor='middle',
          ),
        )
      )
  return _svg(height, label, *parts)


def _cut(name: str, most: int = 20) -> str:
  return name if len(name) <= most else name[: most - 1] + '…'
