"""Pictures of train- and test-PMs along RL (figures 4, 13 and 33)."""

from __future__ import annotations

from collections.abc import Sequence

from hh_jax.report import paper_values, table
from hh_jax.report import run as run_lib
from hh_jax.report.findings import percent
from hh_jax.report.lines import PARAMS, Lines, Values, by, marked, middle, of
from hh_jax.report.style import Picture

ROOT = '√KL(π ‖ π0), √nats'
SAMPLES = 'samples trained on'
SCORE = 'PM score less its mean, nats'
GAIN = 'score above π0, nats'
_PMS = ('train PM', 'test PM')


def fig04(values: Values) -> list[Picture]:
  """The largest policy by √KL and by samples; all sizes; best of n."""
  rows = run_lib.as_rows(values.get('curves'))
  largest = _largest(rows)
  pms = [row for row in largest if row.get('judge') in _PMS]
  return [
    marked(
      _curve('fig04_gain', 'Largest policy', largest, 'sqrt_kl', 'gain', True),
      _marks(values, largest),
    ),
    _curve('fig04_sqrt_kl', 'Largest policy: PM score', pms, 'sqrt_kl'),
    _curve('fig04_samples', 'Largest policy: by samples', pms, 'samples'),
    *(
      _curve(
        f'fig04_{_key(pm)}',
        f'All sizes: {pm}',
        of(rows, judge=pm),
        'samples',
        line='size',
      )
      for pm in _PMS
    ),
    Lines(
      'fig04_best_of',
      'Best of n by the train PM',
      run_lib.as_rows(values.get('best_of')),
      'sqrt_kl',
      by('judge'),
      '√(ln n − (n − 1) / n), √nats',
      'gain',
      'score above one sample, nats',
      level=0.0,
    ).picture(),
  ]


def _largest(rows: Sequence[run_lib.Row]) -> list[run_lib.Row]:
  return of(rows, size=str(rows[-1].get('size'))) if rows else []


def _key(name: str) -> str:
  return name.replace(' ', '_')


def _curve(
  name: str,
  title: str,
  rows: Sequence[run_lib.Row],
  x: str,
  y: str = 'score',
  has_paper: bool = False,
  line: str = 'judge',
) -> Picture:
  return Lines(
    name,
    title,
    rows,
    x,
    by(line),
    ROOT if x == 'sqrt_kl' else SAMPLES,
    y,
    GAIN if y == 'gain' else SCORE,
    level=0.0,
    paper=paper_values.GAIN if has_paper else {},
  ).picture()


def _marks(values: Values, largest: Sequence[run_lib.Row]) -> dict[str, float]:
  """Where train- and test-PM part and where to stop, of the largest pair."""
  if not largest:
    return {}
  found = of(
    run_lib.as_rows(values.get('parting')),
    size=str(largest[0].get('size')),
    pm=str(largest[0].get('pm')),
  )
  if not found:
    return {}
  row = found[-1]
  places = {
    'PMs part: stop' if row.get('part') else 'end': row.get('stop_at_sqrt_kl'),
    'best by test PM': row.get('best_test_at_sqrt_kl'),
  }
  known = {text: middle(place) for text, place in places.items()}
  return {text: x for text, x in known.items() if x is not None}


def say_fig04(values: Values) -> str:
  """Where train- and test-PM part, and what stopping would have kept."""
  rows = run_lib.as_rows(values.get('parting'))
  last = {(row.get('set'), row.get('size'), row.get('pm')): row for row in rows}
  return ' '.join(
    _parting_in_words(row)
    for row in last.values()
    if row.get('set') == 'largest PM'
  )


def _parting_in_words(row: run_lib.Row) -> str:
  text = f'Policy {row.get("size")}: train and test PM '
  stop = middle(row.get('stop_at_sqrt_kl'))
  if row.get('part') and stop is not None:
    text += f'part at √KL {table.format_number(stop)}; stop there'
  else:
    text += 'are not shown to part'
  share = run_lib.band(row.get('share_at_stop'))
  if share is not None:
    text += f'. {percent(share)} of the largest gold gain is reached'
  return f'{text}.'


def fig13(values: Values) -> list[Picture]:
  """PM score against √KL by policy size; the largest PM, and the own size's."""
  rows = run_lib.as_rows(values.get('curves'))
  return [
    _curve(
      f'fig13_{_key(name)}_{_key(pm)}',
      f'Trained against the {name}: {pm}',
      of(rows, set=name, judge=pm),
      'sqrt_kl',
      line='size',
    )
    for name in _sets(rows)
    for pm in _PMS
  ]


def fig33(values: Values) -> list[Picture]:
  """Scores by every test-PM against the policy's size."""
  rows = run_lib.as_rows(values.get('by_policy'))
  return [
    Lines(
      f'fig33_{_key(name)}',
      f'Trained against the {name}',
      of(rows, set=name),
      'params',
      lambda row: f'test PM {row.get("test_pm")}',
      f'policy {PARAMS}',
      'score',
      SCORE,
      is_log=True,
      level=0.0,
    ).picture()
    for name in _sets(rows)
  ]


def _sets(rows: Sequence[run_lib.Row]) -> list[str]:
  return list(dict.fromkeys(str(row.get('set')) for row in rows))
