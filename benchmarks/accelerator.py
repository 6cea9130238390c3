"""The jobs of accelerators, what is asked of them, and what they reached.

1. Every size has the same jobs; of each, the largest part that fits into the
   memory of the device (`fit`). A job that does not fit is a row that says so.
2. Training is measured by MFU: needed operations over the peak of the data
   sheet. Decoding by its memory roofline, after the time of the first token is
   taken off. PPO by how many times the ideal an iteration takes.
3. Prompts of one length with replies of one length are what the ideals are
   reckoned for; the lengths of real dialogues are measured beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import clock, fit
from benchmarks import jobs as jobs_lib
from benchmarks.sides import Row, Setting
from hh_jax.planning import flops

SIZES: tuple[str, ...] = ('13m', '42m', '197m', '810m', '2.7b')
VOCAB = 65_536
DTYPES: tuple[str, ...] = ('bfloat16',)
DOES_NOT_FIT = 'does not fit'
# Larger than on a CPU, to be long beside the start of a kernel.
PEAK = {'sizes': (4096, 8192), 'copied': 2**28}


@dataclasses.dataclass(frozen=True)
class Goals:
  """What is asked of one size on one H200, in bfloat16."""

  mfu: float  # at least, of a training step
  roofline: float  # at least, of the memory roofline at batch 256
  times_ideal: float  # at most, seconds of an iteration over the ideal's
  ppo: float | None  # at least, rate of PPO over the peer's in the same run


GOALS_ARE_OF = ('H200 SXM', 'bfloat16')  # chip and precision
GOALS = {
  '13m': Goals(0.25, 0.35, 3.0, 4.0),
  '42m': Goals(0.30, 0.45, 2.7, 4.0),
  '197m': Goals(0.38, 0.55, 2.3, 3.0),
  '810m': Goals(0.45, 0.65, 2.2, 2.5),
  '2.7b': Goals(0.48, 0.70, 2.2, None),
}


def _alike(name: str, *peers: str, ours: str = 'plain') -> Any:
  return (jobs_lib.Comparison(name, None, peers, ours),)


_PPO = {
  'prompts': 512,
  'passes': 1,
  'minibatches': 8,
  'row_length': fit.LONGEST,
  'rate': 1e-6,
  'repeats': 2,
}
# A prompt, a reply and the mark of its end fill a row.
_PPO_FULL = {**_PPO, 'prompt_length': 255, 'max_new': 256}
_LESS = 'PPO iteration, value head on the policy: less work'

JOBS = (
  jobs_lib.Job(
    'lm',
    'tokens',
    _alike('LM step', 'compile', 'eager'),
    {'rows': 128, 'rate': 1e-4, 'repeats': 4},
  ),
  jobs_lib.Job(
    'pm',
    'comparisons',
    _alike('PM training', 'plain', 'sorted'),
    {
      'pairs': 256,
      'batches': 3,
      'row_length': fit.LONGEST,
      'rate': 1e-5,
      'repeats': 2,
    },
  ),
  jobs_lib.Job(
    'sampling',
    'tokens',
    _alike('decoding, batch 256', 'plain', 'autocast', 'static'),
    {
      'prompts': 256,
      'slots': 256,
      'prompt_length': 256,
      'max_new': 256,
      'repeats': 3,
    },
  ),
  jobs_lib.Job('ppo', 'replies', _alike('PPO iteration', 'plain'), _PPO_FULL),
  jobs_lib.Job('ppo', 'replies', _alike(_LESS, ours='shared'), _PPO_FULL),
  jobs_lib.Job(
    'ppo',
    'replies',
    _alike('PPO iteration, lengths of dialogues', 'plain'),
    {**_PPO, 'max_new': 128},
  ),
)


def plan(setting: Setting) -> tuple[list[jobs_lib.Job], list[Row]]:
  """The jobs of a size as they fit, and a row for each that does not."""
  jobs, left_out = [], []
  for job in JOBS:
    fitted, needed = fitted_job(job, setting)
    if fitted is not None:
      jobs.append(fitted)
      continue
    left_out.append(
      {
        'job': job.comparisons[0].name,
        'outcome': DOES_NOT_FIT,
        'needs_gib': needed / 2**30,
        'memory_gib': (setting.device.memory or 0) / 2**30,
      }
    )
  return jobs, left_out


def fitted_job(
  job: jobs_lib.Job, setting: Setting
) -> tuple[jobs_lib.Job | None, float]:
  """A job with batches that fit, or None; and the least bytes it needs.

  Where only the peers do not fit they are left out.
  """
  (comparison,) = job.comparisons
  config, memory = setting.config_of(job.family), setting.device.memory
  fields, least = fit.first_that_fits(
    fit.choices(job.kind, job.fields),
    lambda f: fit.need(job.kind, f, comparison.ours, config),
    memory,
  )
  if fields is None:
    return None, least
  peer_fields, _ = fit.first_that_fits(
    fit.peer_choices(job.kind, fields),
    lambda f: fit.peer_need(job.kind, f, config),
    memory,
  )
  goals = goals_of(setting)
  goal = goals.ppo if goals and job.kind == 'ppo' else None
  row = dataclasses.replace(comparison, goal=goal)
  job = dataclasses.replace(
    job, comparisons=(row,), fields=fields, peer_fields=peer_fields
  )
  return (job if peer_fields is not None else job.alone()), least


def goals_of(setting: Setting) -> Goals | None:
  """What is asked here; of another chip or precision nothing is."""
  chip = setting.device.chip
  is_asked = chip and (chip.name, setting.dtype) == GOALS_ARE_OF
  return GOALS.get(setting.size) if is_asked else None


def measures(
  job: jobs_lib.Job, variant: str, setting: Setting, row: Row
) -> Row:
  """What a row of an accelerator says beside one of a CPU.

  A measure that the job or the device does not have is None, and so is the
  goal of a size that has none.
  """
  chip, goals = setting.device.chip, goals_of(setting)
  peak = chip.peak(setting.dtype) if chip else None
  found: Row = {
    'outcome': 'measured',
    'chip': chip and chip.name,
    'fields': job.fields,
    'fields_peer': job.peer_fields,
    'tokens_per_second': row['ours'] * row['mean_reply'] or None,
    **dict.fromkeys(('mfu', 'roofline_share', 'times_ideal')),
  }
  if job.kind == 'ppo':
    found['times_ideal'] = times_ideal(job, variant, setting, row)
  elif job.kind == 'sampling':
    found['tokens_per_second'] = row['ours']
    found['roofline_share'] = roofline_share(job, setting, row)
  elif peak:
    found['mfu'] = row['gflops_per_second'] * 1e9 / peak
  names = {'mfu': 'mfu', 'roofline_share': 'roofline'}
  if 'prompt_length' in job.fields:
    names['times_ideal'] = 'times_ideal'
  for name, goal in names.items():
    is_told = goals is not None and found[name] is not None
    found[f'{name}_goal'] = getattr(goals, goal) if is_told else None
  found.setdefault('times_ideal_goal', None)
  return found


def _prompt_lengths(job: jobs_lib.Job, setting: Setting) -> Sequence[int]:
  lists = clock.read_lists(setting.folder / 'comparisons.npz')
  return [len(prompt) for prompt in clock.prompts_of(lists, job.fields)]


def times_ideal(
  job: jobs_lib.Job, variant: str, setting: Setting, row: Row
) -> float | None:
  """Seconds of an iteration over those of `Counter.ppo_seconds`."""
  chip = setting.device.chip
  if chip is None:
    return None
  counter = flops.Counter(setting.config_of(job.family))
  ideal = counter.ppo_seconds(
    _prompt_lengths(job, setting), row['mean_reply'], variant == 'shared', chip
  )
  return job.fields['prompts'] / row['ours'] / ideal if ideal else None


def roofline_share(
  job: jobs_lib.Job, setting: Setting, row: Row
) -> float | None:
  """Seconds that memory takes over those of all tokens but the first."""
  chip, first = setting.device.chip, row['parts'].get('first')
  if chip is None or first is None:
    return None
  prompts = _prompt_lengths(job, setting)
  reply = row['mean_reply']
  seconds = len(prompts) * reply / row['ours'] - first
  counter = flops.Counter(setting.config_of(job.family))
  ideal = counter.decode_seconds(
    np.add(prompts, 1).tolist(), reply - 1, job.fields['slots'], chip
  )
  return ideal / seconds if seconds > 0 else None


def told(row: Row) -> str:
  """The measures of a row in a few words; '' where it has none."""
  outcome = row.get('outcome', 'measured')
  if outcome == DOES_NOT_FIT:
    needs, memory = row['needs_gib'], row['memory_gib']
    return f'{outcome}: about {needs:.0f} GiB, and there are {memory:.0f}'
  words = [] if outcome == 'measured' else [outcome]
  for name, text in (
    ('mfu', 'MFU {:.1%}'),
    ('roofline_share', '{:.0%} of the roofline'),
    ('times_ideal', '{:.2f} times the ideal'),
  ):
    if row.get(name) is not None:
      goal = row[f'{name}_goal']
      words.append(text.format(row[name]) + (f' (goal {goal})' if goal else ''))
  words += [f'{side} {why}' for side, why in row.get('failures', {}).items()]
  return '; '.join(words)


def summary(rows: Sequence[Row]) -> str:
  """How many rows there are of each outcome."""
  outcomes = [row['outcome'] for row in rows if 'outcome' in row]
  counts = {name: outcomes.count(name) for name in dict.fromkeys(outcomes)}
  return ', '.join(f'{count} {name}' for name, count in counts.items())
