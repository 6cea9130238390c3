"""Pictures of who is preferred, and of tension (figures 1, 14, 24 and 36)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes

from hh_jax.report import paper_values, style, table
from hh_jax.report import run as run_lib
from hh_jax.report.bias_figures import histogram
from hh_jax.report.findings import percent
from hh_jax.report.lines import PARAMS, Lines, Values, by, marked, middle, of
from hh_jax.report.style import Picture

_SIDES = ('helpful', 'harmless')
_MIXTURE = 'mixture'


def fig01(values: Values) -> list[Picture]:
  """Elo of every kind of policy by size, a panel a side; writers as a band."""
  rows = run_lib.as_rows(values.get('by_size'))
  writers = run_lib.as_rows(values.get('writers'))
  pictures = []
  for side in _SIDES:
    picture = Lines(
      f'fig01_{side}',
      f'{"Helpfulness" if side == "helpful" else "Harmlessness"} Elo by size',
      of(rows, side=side),
      'params',
      by('policy'),
      PARAMS,
      'elo',
      f'Elo above the largest π0, by {_judge(values)}',
      is_log=True,
      level=0.0,
      paper=paper_values.ELO if side == 'helpful' else {},
    ).picture()
    places = [middle(row.get('elo')) for row in of(writers, side=side)]
    known = [place for place in places if place is not None]
    pictures.append(_between(picture, known, 'writers'))
  return pictures


def say_fig01(values: Values) -> str:
  """What a unit of PM score is worth in Elo."""
  text = ''
  for row in run_lib.as_rows(values.get('elo_per_pm_unit')):
    slope, paper = run_lib.band(row.get('elo_per_pm_unit')), row.get('paper')
    if slope is not None:
      text += f'On {row.get("side")} prompts a unit of PM score is worth '
      text += f'{table.format_value(slope)} Elo; choosing by that score alone '
      text += f'would make it {table.format_value(paper)}. '
  return text.strip()


def _between(picture: Picture, places: Sequence[float], name: str) -> Picture:
  """Draws a band from the lowest to the highest place, if there are any."""
  if not places:
    return picture
  low, high = min(places), max(places)

  def draw(axes: Axes) -> None:
    colour = style.SERIES[4]
    axes.axhspan(low, high, color=colour, alpha=0.22, linewidth=0, label=name)
    picture.draw(axes)

  alt = f'{picture.alt} A band of {name} from {table.format_number(low)} to '
  return dataclasses.replace(
    picture, draw=draw, alt=f'{alt}{table.format_number(high)}.'
  )


def fig24(values: Values) -> list[Picture]:
  """Scores of writers and policies as histograms."""
  return [
    histogram(
      'fig24',
      'PM scores of writers and policies',
      run_lib.as_rows(values.get('scores')),
      'score',
      'score less the mean, nats',
    )
  ]


def say_fig24(values: Values) -> str:
  """How often the policies are preferred to the writers."""
  return ' '.join(
    f'The crowd prefers {row.get("policy")} to the writers in '
    f"{percent(wins)} of games; the paper's in "
    f'{table.format_value(row.get("wins_paper"))}.'
    for row in run_lib.as_rows(values.get('against_writers'))
    if (wins := run_lib.band(row.get('wins'))) is not None
  )


def fig36(values: Values) -> list[Picture]:
  """Elo against k, beside RLHF and what the preference model predicts."""
  rows = run_lib.as_rows(values.get('ladder'))
  ladder = [row for row in rows if row.get('k') is not None]
  drawn = [{**row, 'by': _judge(values)} for row in ladder]
  drawn += [
    {**row, 'elo': row.get('elo_by_pm'), 'by': 'PM score'} for row in ladder
  ]
  picture = Lines(
    'fig36',
    'Best of k',
    drawn,
    'k',
    by('by'),
    'k, replies sampled',
    'elo',
    'Elo above one sample',
    is_log=True,
    level=0.0,
    paper=paper_values.BEST_OF,
  ).picture()
  return [_with_band(picture, of(rows, policy='rlhf'))]


def _judge(values: Values) -> str:
  """Who decided the games: the crowd, or a PM that stands in for it."""
  games = run_lib.as_rows(values.get('games'))
  return str(games[0].get('judge')) if games else 'the judge'


def _with_band(picture: Picture, rows: Sequence[run_lib.Row]) -> Picture:
  """Draws what has no k as a band over all of them."""
  found = [band for row in rows if (band := run_lib.band(row.get('elo')))]
  if not found:
    return picture
  low, mid, high = found[0]

  def draw(axes: Axes) -> None:
    colour = style.SERIES[2]
    axes.axhspan(low, high, color=colour, alpha=0.16, linewidth=0)
    axes.axhline(mid, color=colour, linestyle='-.', label='RLHF')
    picture.draw(axes)

  return dataclasses.replace(picture, draw=draw)


def fig14(values: Values) -> list[Picture]:
  """Scores of data and policy on either side, and the sweep of shares."""
  return [*_distributions(values), *_courses(values), *_sweep(values)]


def say_fig14(values: Values) -> str:
  """From which share of harmless prompts policies over-refuse."""
  found = run_lib.as_mapping(values.get('cure'))
  named = found.get('over_refuses_at')
  cured = run_lib.number(found.get('cured_at'))
  tolerated = run_lib.number(found.get('tolerated'))
  if not named:
    return 'No policy is shown to refuse helpful requests more often than π0.'
  text = f'At {named} harmless prompts the policy refuses helpful requests '
  text += 'more often than π0'
  if cured is None or tolerated is None:
    return f'{text}; no lower share is shown to cure it.'
  return f'{text}; at {cured:.0%} by less than {tolerated:.0%}, if at all.'


def _distributions(values: Values) -> list[Picture]:
  rows = run_lib.as_rows(values.get('data'))
  course = run_lib.as_rows(values.get('course'))
  pictures = []
  for pm in dict.fromkeys(str(row.get('pm')) for row in rows):
    ends = {
      f'policy, {side}': place
      for side in _SIDES
      if (own := of(_usual(course), pm=pm, side=side))
      and (place := middle(own[-1].get('score'))) is not None
    }
    picture = histogram(
      f'fig14_{pm}',
      f'Held-out data by {_name(pm)}',
      of(rows, pm=pm),
      'score',
      'score less the mean, nats',
    )
    pictures.append(marked(picture, ends))
  return pictures


def _courses(values: Values) -> list[Picture]:
  rows = _usual(run_lib.as_rows(values.get('course')))
  return [
    Lines(
      f'fig14_{pm}_course',
      f'Policy in training by {_name(pm)}',
      of(rows, pm=pm),
      'samples',
      by('side'),
      'samples trained on',
      'score',
      'PM score less its mean, nats',
      level=0.0,
    ).picture()
    for pm in dict.fromkeys(str(row.get('pm')) for row in rows)
  ]


def _usual(rows: Sequence[run_lib.Row]) -> list[run_lib.Row]:
  """Of the policy whose share of harmless prompts is nearest to a half."""
  shares = [run_lib.number(row.get('fraction')) or 0.0 for row in rows]
  nearest = min(shares, key=lambda share: abs(share - 0.5), default=0.0)
  return [row for row, share in zip(rows, shares) if share == nearest]


def _sweep(values: Values) -> list[Picture]:
  rows = run_lib.as_rows(values.get('sweep'))
  label = 'share of harmless prompts in RL'
  refusals = [
    {'fraction': row.get('fraction'), 'of': name, 'rate': row.get(column)}
    for column, name in (('refusals', 'RLHF'), ('refusals_of_pi0', 'pi0'))
    for row in rows
  ]
  gold = any('gold_gain_helpful' in row for row in rows)
  judge = 'gold_gain' if gold else 'pm_gain'
  gains = [
    {
      'fraction': row.get('fraction'),
      'side': side,
      'gain': row.get(f'{judge}_{side}'),
    }
    for side in _SIDES
    for row in rows
  ]
  return [
    Lines(
      'fig14_refusals',
      'Refusals of helpful requests',
      refusals,
      'fraction',
      by('of'),
      label,
      'rate',
      'share of replies that refuse',
      level=None,
    ).picture(),
    Lines(
      'fig14_gains',
      'Gained on either side',
      gains,
      'fraction',
      by('side'),
      label,
      'gain',
      f'{run_lib.label(judge)} over π0, nats',
      level=0.0,
    ).picture(),
  ]


def _name(pm: str) -> str:
  if pm == _MIXTURE:
    return 'the PM of both sides'
  return f'the {run_lib.label(pm)}'
