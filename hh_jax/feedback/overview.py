"""The researcher's first page: what came in, and how the models compare."""

from __future__ import annotations

import time

from starlette.responses import Response

from hh_jax.config.feedback import TASKS
from hh_jax.feedback import browse, drawings, measures, schema
from hh_jax.feedback.serving import Ask

HOURS = 48  # of the plot of comparisons
TITLES = {'helpful': 'Helpfulness', 'red_team': 'Harmlessness'}


def overview(ask: Ask) -> Response:
  """Counts, comparisons per hour, Elo, win rates and agreement."""
  values = ask.services.overview.get(lambda: _values(ask))
  return ask.page('admin/overview.html', **values)


def _values(ask: Ask) -> dict[str, object]:
  with ask.services.database.reading() as connection:
    found = measures.choices(connection)
    names = browse.snapshot_names(connection)
    counts = measures.counts(connection, found)
    agreement = measures.agreement_of(connection, found)
  leagues = {task: measures.league(found, task, names) for task in TASKS}
  return {
    'counts': counts,
    'agreement': agreement,
    'hourly': _hourly(found),
    'leagues': [
      _league_plots(task, league) for task, league in leagues.items() if league
    ],
    'steps': [
      (task, _steps(task, measures.steps(found, task)))
      for task in TASKS
      if any(measures.steps(found, task))
    ],
  }


def _hourly(found: list[measures.Choice]) -> str:
  now = time.time()
  series = measures.per_hour(found, HOURS, now)
  hour = int(now // measures.HOUR)
  labels = [
    time.strftime('%H:00', time.gmtime((hour - back) * measures.HOUR))
    for back in reversed(range(HOURS))
  ]
  total = sum(map(sum, series.values()))
  return drawings.bars(
    series,
    labels,
    f'Comparisons in each of the last {HOURS} hours, UTC: {total} in all.',
    width=drawings.WIDE,
    every=6,
  )


def _league_plots(task: str, league: measures.League) -> dict[str, object]:
  said = ', '.join(
    f'{name} {middle:+.0f}'
    for name, (_, middle, _) in zip(league.names, league.ratings)
  )
  return {
    'title': TITLES[task],
    'num_games': league.num_games,
    'num_regularised': league.num_regularised,
    'elo': drawings.intervals(
      league.names,
      league.ratings,
      f'Elo of {TITLES[task].lower()} with 95 % intervals: {said}.',
      league.names[0],
    ),
    'wins': drawings.win_rates(
      league.names,
      league.wins,
      f'Share of games on {TITLES[task].lower()} that the model of a row won '
      'against that of a column.',
    ),
  }


def _steps(task: str, counts: list[int]) -> str:
  labels = ['A ++++', 'A +++', 'A ++', 'A +', 'B +', 'B ++', 'B +++', 'B ++++']
  return drawings.bars(
    {task: counts},
    labels,
    f'How often each step was chosen: {", ".join(map(str, counts))}.',
    faint=tuple(step - 1 for step in schema.WEAK_STEPS),
  )
