"""Findings in words, each drawn from intervals and not from middles alone.

A sentence claims a difference only where an interval excludes its absence;
otherwise it says that none is shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from hh_jax.report import policy_figures, rlhf_figures, table
from hh_jax.report import run as run_lib
from hh_jax.stats import elo as elo_lib
from hh_jax.stats import frontier as frontier_lib

GOOD, CAUTION, NEUTRAL = 'good', 'caution', 'neutral'
# Where the reward is linear in √KL in the paper [§4.3, figure 4].
_LINEAR_UP_TO = 3.0
_LEAK = 0.01  # share of test comparisons that is worth a word
_MISMATCH = 1e-3  # distance of the first ratio from 1 that is worth a word
_LATE = 20  # iterations at the end over which the values are judged
_NOISY = 0.2  # share of wrong labels that is worth a word


@dataclasses.dataclass(frozen=True)
class Finding:
  """One sentence, and whether it is good news."""

  tone: str
  text: str


def find(
  run: run_lib.Run, frontier: policy_figures.Frontier | None
) -> list[Finding]:
  """Everything the numbers allow to say, in the order of the page."""
  return [
    *_accuracy(run),
    *_baseline(run),
    *_data(run),
    *_calibration(run),
    *_reward(frontier),
    *_parting(frontier),
    *_gold(frontier),
    *_replies(run),
    *_updates(run),
    *_alarms(run),
    *_elo(run),
    *_cross(run),
    *_thresholds(run),
  ]


def percent(value: run_lib.Band) -> str:
  """An interval of shares, in per cent."""
  low, mid, high = (100 * x for x in value)
  # A no-break space: the sign stays with its number.
  if not run_lib.has_width(value):
    return f'{mid:.1f}\N{NO-BREAK SPACE}%'
  return f'{mid:.1f}\N{NO-BREAK SPACE}% [{low:.1f}, {high:.1f}]'


def _accuracy(run: run_lib.Run) -> list[Finding]:
  measured = run_lib.bands(run.mapping('pm_accuracy'))
  bayes = run_lib.bands(run.mapping('bayes_accuracy'))
  found = []
  for side in ('helpful', 'harmless'):
    if side not in measured:
      continue
    text = f'On {side} comparisons the preference model agrees with '
    text += f'{percent(measured[side])} of held-out choices'
    if side in bayes and bayes[side][1] > 0.5:
      share = (measured[side][1] - 0.5) / (bayes[side][1] - 0.5)
      text += f', {100 * share:.0f} % of the way from chance to the '
      text += f'{100 * bayes[side][1]:.1f} % that knowing the truth would give'
    is_chance = measured[side][0] <= 0.5
    text += '; chance is not excluded.' if is_chance else '.'
    found.append(Finding(CAUTION if is_chance else GOOD, text))
  return found


def _data(run: run_lib.Run) -> list[Finding]:
  """Faults of the comparisons themselves (`evals.data_checks`)."""
  checks = run.mapping('data_checks')
  shares = {
    name: run_lib.number(value) or 0.0 for name, value in checks.items()
  }
  found = []
  for name, text in (
    ('same_first_turn', 'have a first turn that training has, too'),
    ('near_duplicate', 'nearly occur in training'),
  ):
    if shares.get(name, 0.0) > _LEAK:
      share = percent((shares[name],) * 3)
      found.append(Finding(CAUTION, f'{share} of test comparisons {text}.'))
  if shares.get('contradicted', 0.0) * shares.get('repeated', 0.0) > _LEAK:
    share = percent((shares['contradicted'],) * 3)
    text = f'Of the training comparisons that come again {share} contradict'
    found.append(Finding(CAUTION, f'{text} each other.'))
  excess = run_lib.band(checks.get('wrong_beyond_claim'))
  if excess and excess[0] > 0:
    text = 'Where it is most certain the preference model is wrong '
    text += f'{percent(excess)} more often than it claims: labels are noisier '
    found.append(Finding(CAUTION, f'{text}than its scores allow for.'))
  wrong = run_lib.band(checks.get('wrong_where_certain'))
  if wrong and wrong[0] > _NOISY:
    text = 'Even where it is most certain the preference model disagrees with '
    found.append(Finding(CAUTION, f'{text}{percent(wrong)} of the labels.'))
  cut = run_lib.band(checks.get('cut_accuracy'))
  whole = run_lib.band(checks.get('whole_accuracy'))
  if cut and whole and cut[2] < whole[0]:
    text = f'Dialogues that were cut are judged worse: {percent(cut)} against '
    found.append(Finding(CAUTION, f'{text}{percent(whole)}.'))
  return found


def _baseline(run: run_lib.Run) -> list[Finding]:
  measured = run_lib.bands(run.mapping('pm_accuracy'))
  naive = run_lib.bands(
    run_lib.as_mapping(run.mapping('baselines').get('longer_reply'))
  )
  sides = [s for s in ('helpful', 'harmless') if s in naive and s in measured]
  beaten = [s for s in sides if measured[s][0] > naive[s][2]]
  others = [s for s in sides if s not in beaten]
  found = []
  if beaten:
    text = f'It beats choosing the longer reply on {" and ".join(beaten)}.'
    found.append(Finding(GOOD, text))
  if others:
    text = 'It is not shown to beat choosing the longer reply on '
    found.append(Finding(CAUTION, f'{text}{" and ".join(others)}.'))
  return found


def _calibration(run: run_lib.Run) -> list[Finding]:
  curves = run.mapping('calibration')
  found = []
  # Models of one side are asked about both, so only the mixture can be right.
  for name in [n for n in ('mixture', *curves) if n in curves][:1]:
    curve = run_lib.as_mapping(curves[name])
    ece = run_lib.band(curve.get('ece'))
    if ece is None:
      continue
    text = f'The {run_lib.label(name)} preference model is off its own '
    text += f'confidence by {percent(ece)} on average'
    above, below = _bins_off_the_line(curve)
    if above > below:
      text += f': under-confident in {_bins(above)}'
    elif below > above:
      text += f': over-confident in {_bins(below)}'
    tone = GOOD if ece[1] < 0.05 else CAUTION
    found.append(Finding(tone, f'{text}.'))
  return found


def _bins(count: int) -> str:
  return f'{count} bin' if count == 1 else f'{count} bins'


def _bins_off_the_line(curve: run_lib.Row) -> tuple[int, int]:
  """Bins whose interval lies above, and below, the logistic line."""
  gaps, accuracies = curve.get('gap'), curve.get('accuracy')
  if not isinstance(gaps, Sequence) or not isinstance(accuracies, Sequence):
    return 0, 0
  above = below = 0
  for x, y in zip(gaps, accuracies):
    gap, accuracy = run_lib.number(x), run_lib.band(y)
    if gap is not None and accuracy is not None:
      ideal = 1 / (1 + math.exp(-abs(gap)))
      above += accuracy[0] > ideal
      below += accuracy[2] < ideal
  return above, below


def _reward(frontier: policy_figures.Frontier | None) -> list[Finding]:
  if frontier is None or 'train_pm' not in frontier.gains:
    return []
  gains = np.array(frontier.gains['train_pm'])
  roots = np.array(frontier.roots)
  gain = gains[-1]
  text = f'RLHF moved the train-PM score by {gain[1]:+.2f} '
  text += f'[{gain[0]:+.2f}, {gain[2]:+.2f}] by √KL {roots[-1]:.2f}'
  is_near = roots <= _LINEAR_UP_TO
  if is_near.sum() >= 3 and np.ptp(roots[is_near]) > 0:
    fit = frontier_lib.fit_sqrt_kl(roots**2, gains[:, 1], 0.0, _LINEAR_UP_TO)
    low, mid, high = fit.interval
    text += f'; up to √KL {_LINEAR_UP_TO:.0f} it rises by {mid:.2f} '
    text += f'[{low:.2f}, {high:.2f}] per √nat (R² {fit.r2:.2f}; the paper '
    text += 'has about 0.26 at 52B)'
  return [Finding(GOOD if gain[0] > 0 else CAUTION, f'{text}.')]


def _parting(frontier: policy_figures.Frontier | None) -> list[Finding]:
  if frontier is None or not {'train_pm', 'held_out_pm'} <= set(frontier.gains):
    return []
  if frontier.parting is None:
    text = 'Train and held-out PM are not shown to part in this run.'
    return [Finding(GOOD, text)]
  gains = frontier.gains
  gap = gains['train_pm'][-1][1] - gains['held_out_pm'][-1][1]
  text = 'Train and held-out PM part at √KL '
  text += f'{frontier.roots[frontier.parting]:.2f}; stop there. Beyond, the '
  text += f'intervals of their gains stay apart, by {gap:.2f} at the end: what '
  text += 'the policy gains is partly an error of its preference model.'
  return [Finding(CAUTION, text)]


def _gold(frontier: policy_figures.Frontier | None) -> list[Finding]:
  found = []
  for key in ('gold_helpfulness', 'gold_harmlessness'):
    if frontier is None or key not in frontier.gains:
      continue
    gains, values = frontier.gains[key], frontier.series[key]
    name = run_lib.label(key).capitalize()
    best = max(range(len(gains)), key=lambda i: gains[i][1])
    moved = f'from {table.format_value(values[0])} to '
    moved += table.format_value(values[-1])
    if gains[-1][2] < gains[best][0]:
      text = f'{name} peaks at √KL {frontier.roots[best]:.2f} and then falls, '
      found.append(Finding(CAUTION, f'{text}{moved} over the whole run.'))
    elif gains[-1][0] > 0:
      found.append(Finding(GOOD, f'{name} rises {moved}.'))
    elif gains[-1][2] < 0:
      found.append(Finding(CAUTION, f'{name} falls {moved}.'))
    else:
      text = f'{name} is not shown to change ({moved}).'
      found.append(Finding(NEUTRAL, text))
  return found


def _elo(run: run_lib.Run) -> list[Finding]:
  ratings = run_lib.bands(run_lib.as_mapping(run.mapping('elo').get('overall')))
  if 'rlhf' not in ratings:
    return []
  rlhf = ratings['rlhf']
  wins = 100 * float(elo_lib.win_fraction(rlhf[1], 0.0))
  text = f'RLHF is {table.format_value(rlhf)} Elo above π0, {wins:.0f} % wins'
  tone = GOOD if rlhf[0] > 0 else CAUTION
  if rlhf[0] <= 0 <= rlhf[2]:
    text += '; no difference is shown'
  for name in [n for n in ratings if n.startswith('best_of_')]:
    best = ratings[name]
    text += (
      f'. {run_lib.label(name).capitalize()} is at {table.format_value(best)}: '
    )
    if rlhf[0] > best[2]:
      text += 'RLHF is above it'
    elif rlhf[2] < best[0]:
      text += 'RLHF stays below it'
    else:
      text += 'their intervals overlap'
  return [Finding(tone, f'{text}.')]


def _cross(run: run_lib.Run) -> list[Finding]:
  table_of = run.mapping('cross_accuracy')
  found = []
  for model, side in (('helpful_pm', 'harmless'), ('harmless_pm', 'helpful')):
    value = run_lib.band(run_lib.as_mapping(table_of.get(model)).get(side))
    if value is None:
      continue
    text = f'Trained on {model.removesuffix("_pm")} data alone, a preference '
    text += f'model gets {percent(value)} of {side} comparisons right'
    if value[2] < 0.5:
      text += ': the two aims conflict, as in the paper'
    elif value[0] <= 0.5:
      text += ', no better than chance'
    found.append(Finding(NEUTRAL, f'{text}.'))
  return found


# What replies are, in words, and whether more of it is bad news.
_REPLIES = {
  'refusal_rate_helpful': ('Refusal of helpful requests', True),
  'refusal_rate_harmless': ('Refusal of red-team requests', False),
  'repetition': ('Repetition within replies', True),
  'eot_rate': ('The share of replies that end', False),
  'response_length': ('The length of replies', None),
}


def _replies(run: run_lib.Run) -> list[Finding]:
  """What became of replies between the first and the last snapshot."""
  rows = run.rows('frontier')
  found = []
  for key, (words, is_bad) in _REPLIES.items() if len(rows) > 1 else ():
    gain = run_lib.band(run_lib.as_mapping(rows[-1].get('gain')).get(key))
    first, last = (run_lib.band(row.get(key)) for row in (rows[0], rows[-1]))
    if gain is None or first is None or last is None:
      continue
    if gain[0] <= 0 <= gain[2]:
      continue
    is_more = gain[0] > 0
    spell = table.format_value if is_bad is None else percent
    text = f'{words} {"rises" if is_more else "falls"} from {spell(first)} to '
    tone = NEUTRAL
    if is_bad is not None:
      tone = CAUTION if is_more == is_bad else GOOD
    found.append(Finding(tone, f'{text}{spell(last)}.'))
  return found


def _updates(run: run_lib.Run) -> list[Finding]:
  """Whether sampler and trainer agree, and what the values are worth."""
  steps = run.curves.get(rlhf_figures.STAGE, ())
  ratios = _numbers(steps, 'ppo/first_ratio')
  explained = _numbers(steps, 'rollout/value_explained')[-_LATE:]
  found = []
  if ratios:
    gap = max(abs(ratio - 1) for ratio in ratios)
    text = 'The first-minibatch ratio stays within '
    text += f'{table.format_number(gap)} of 1'
    if gap > _MISMATCH:
      text += ': sampler and trainer disagree; set recompute_log_probs'
    found.append(Finding(GOOD if gap <= _MISMATCH else CAUTION, f'{text}.'))
  if explained:
    share = sum(explained) / len(explained)
    text = f'At the end the values explain {percent((share,) * 3)} of the '
    text += 'variance of returns.'
    found.append(Finding(NEUTRAL if share > 0 else CAUTION, text))
  return found


def _numbers(rows: Sequence[run_lib.Row], name: str) -> list[float]:
  values = (run_lib.number(row.get(name)) for row in rows)
  return [value for value in values if value is not None]


def _alarms(run: run_lib.Run) -> list[Finding]:
  return [
    Finding(CAUTION, f'RLHF, iteration {row["step"]}: {row["message"]}.')
    for row in run.rows('alarms')
  ]


def _thresholds(run: run_lib.Run) -> list[Finding]:
  rows = run.rows('thresholds')
  if not rows:
    return []
  missed = [str(row.get('name')) for row in rows if row.get('met') is not True]
  text = f'{len(rows) - len(missed)} of {len(rows)} targets are met'
  text += f'; missed: {", ".join(missed)}.' if missed else '.'
  return [Finding(CAUTION if missed else GOOD, text)]
