"""From what the sides of a job measured to one entry of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import accelerator, clock, inputs
from benchmarks import jobs as jobs_lib
from benchmarks.sides import OUT_OF_MEMORY, Process, Row, Setting
from hh_jax.planning import flops

TOLERANCES = {'float32': 1e-3, 'bfloat16': 5e-2}
# Each side draws replies of its own. Their mean length has a standard error of
# a tenth with few prompts; a step of Adam is of one size whatever the replies.
DRAWN = {'mean_reply': 0.5, 'moved': 0.2}
SAME_START = 0.5  # share of greedy text before rounding parts the sides


class Differs(SystemExit):
  """Sides computed different things; ends the run where nobody goes on."""


def is_broken(row: Row) -> bool:
  """Whether something other than memory failed."""
  return any(why != OUT_OF_MEMORY for why in row.get('failures', {}).values())


def check(name: str, ours: Process, theirs: Process, dtype: str) -> None:
  """Compares what both sides computed.

  Whatever the peer computed is compared. In bfloat16 greedy text may part where
  two tokens are nearly equal, but not before `SAME_START` of it.

  Raises:
    Differs: It is not the same.
  """
  told = theirs['checks'].keys()
  if not told or not told <= ours['checks'].keys():
    raise Differs(f'{name}: ours tells {[*ours["checks"]]}, the peer {[*told]}')
  for key, other in theirs['checks'].items():
    value = ours['checks'][key]
    is_same = len(value) == len(other) > 0
    if is_same and key == 'greedy':
      wanted = 1.0 if dtype == 'float32' else SAME_START
      is_same = common_start(value, other) >= wanted
    elif is_same:
      error = DRAWN.get(key, TOLERANCES[dtype])
      is_same = np.allclose(value, other, rtol=error, atol=error)
    if not is_same:
      raise Differs(f'{name}: {key} differs: ours {value}, peer {other}')


def common_start(
  texts: Sequence[Sequence[int]], others: Sequence[Sequence[int]]
) -> float:
  """Share of the tokens before the first one that differs, over all texts."""
  same = 0
  for text, other in zip(texts, others, strict=True):
    is_same = [a == b for a, b in zip(text, other)]
    same += (is_same + [False]).index(False)
  return same / max(sum(map(len, texts)), 1)


def needed(
  job: jobs_lib.Job, variant: str, setting: Setting, mean_reply: float
) -> float:
  """Operations that one call of a job cannot do without."""
  counter = flops.Counter(setting.config_of(job.family))
  fields = job.fields
  if job.kind == 'lm':
    row_length = fields.get('row_length', inputs.ROW_LENGTH)
    return counter.lm_step(fields['rows'], row_length)
  lists = clock.read_lists(setting.folder / 'comparisons.npz')
  if job.kind == 'pm':
    names = ('prompts', 'chosen', 'rejected')
    triples = zip(*(map(len, lists[name]) for name in names))
    return counter.pm_step(list(triples)[: fields['pairs'] * fields['batches']])
  prompts = list(map(len, clock.prompts_of(lists, fields)))
  if job.kind == 'sampling':
    return counter.sampling(prompts, mean_reply)
  if job.kind == 'best_of':
    return counter.best_of(prompts, mean_reply, fields['k'])
  return counter.ppo(prompts, mean_reply, variant == 'shared')


def rate(processes: Sequence[Process]) -> np.ndarray:
  """Units a second of every sample of a side."""
  return np.concatenate(
    [process['units'] / np.array(process['samples']) for process in processes]
  )


def spread(rates: np.ndarray) -> float:
  """Half the range between the quartiles, relative to the median."""
  low, mid, high = np.quantile(rates, [0.25, 0.5, 0.75])
  return float((high - low) / 2 / mid)


def parts(processes: Sequence[Process]) -> dict[str, float]:
  """Median seconds of each phase of a call."""
  return {
    name: float(np.median([t for p in processes for t in p['parts'][name]]))
    for name in processes[0]['parts']
  }


def memory(processes: Sequence[Process]) -> float:
  return max(process['peak_gib'] for process in processes)


def fastest(
  comparison: jobs_lib.Comparison,
  found: Mapping[str, list[Process]],
  setting: Setting,
  failures: dict[str, str],
) -> list[Process]:
  """The peer's fastest way of those that computed the same; none if none did.

  Raises:
    Differs: A way computed something else, and the run does not go on.
  """
  ours = found[f'ours/{comparison.ours}']
  ways = []
  for side in (f'peers/{peer}' for peer in comparison.peers):
    if not found.get(side):
      continue
    try:
      for pair in zip(ours, found[side], strict=True):  # of every round
        check(comparison.name, *pair, setting.dtype)
    except Differs as difference:
      if not setting.goes_on:
        raise
      failures[side] = f'failed: {str(difference)[:400]}'
    else:
      ways.append(found[side])
  return max(ways, key=lambda way: float(np.median(rate(way))), default=[])


def key_of(name: str, setting: Setting) -> Row:
  """What a row is found by."""
  return {
    'job': name,
    'size': setting.size,
    'vocab': setting.vocab,
    'dtype': setting.dtype,
  }


def row_of(
  job: jobs_lib.Job,
  comparison: jobs_lib.Comparison,
  found: Mapping[str, list[Process]],
  setting: Setting,
  peaks: Mapping[str, float],
  failures: dict[str, str] | None = None,
) -> Row:
  """One entry of the table; what is not known of the peer is None."""
  failures = {} if failures is None else failures
  ours = found[f'ours/{comparison.ours}']
  theirs = fastest(comparison, found, setting, failures)
  rates = [rate(side) for side in (ours, theirs) if side]
  ours_rate = float(np.median(rates[0]))
  (mean_reply,) = ours[0]['checks'].get('mean_reply', [0.0])
  num_flops = needed(job, comparison.ours, setting, mean_reply)
  speed = num_flops / ours[0]['units'] * ours_rate
  row = {
    **key_of(comparison.name, setting),
    'unit': f'{job.unit}/s',
    'ours': ours_rate,
    'goal': comparison.goal,
    'spread': max(map(spread, rates)),
    'samples': [len(r) for r in rates],
    'flops': num_flops,
    'gflops_per_second': speed / 1e9,
    'share_of_peak': speed / max(peaks[owner] for owner in _SIDES & set(peaks)),
    'peak_gflops_per_second': peaks['ours'] / 1e9,
    'mean_reply': mean_reply,
    'memory': memory(ours),
    'parts': parts(ours),
    'settings': ours[0]['settings'],
    **beside(theirs, ours_rate, memory(ours)),
  }
  if 'peers' in peaks:
    row['peak_gflops_per_second_peer'] = peaks['peers'] / 1e9
  if setting.goes_on:
    row |= accelerator.measures(job, comparison.ours, setting, row)
    row |= {'failures': dict(failures), 'copy': peaks.get('copy')}
  return row


_SIDES = {'ours', 'peers'}


def beside(theirs: Sequence[Process], ours: float, held: float) -> Row:
  """The part of a row that needs a peer."""
  if not theirs:
    names = 'peer', 'ratio', 'memory_peer', 'memory_ratio'
    return {**dict.fromkeys(names), 'parts_peer': {}, 'settings_peer': ''}
  their_rate = float(np.median(rate(theirs)))
  return {
    'peer': their_rate,
    'ratio': ours / their_rate,
    'memory_peer': memory(theirs),
    'memory_ratio': held / memory(theirs),
    'parts_peer': parts(theirs),
    'settings_peer': theirs[0]['settings'],
  }


def tell(row: Row) -> None:
  """Prints the row of a job that is done or could not be."""
  told = [f'{row["job"]}, {row["size"]}, {row["dtype"]}:']
  if 'ours' not in row:
    print(*told, accelerator.told(row), flush=True)
    return
  told.append(f'{row["ours"]:.4g}')
  if row['peer'] is not None:
    told.append(f'against {row["peer"]:.4g}')
  told.append(row['unit'] + ',')
  if row['ratio'] is not None:
    told.append(f'ratio {row["ratio"]:.2f} (goal {row["goal"]}),')
  told.append(f'{row["share_of_peak"]:.0%} of peak')
  if row['memory_ratio'] is not None:
    told.append(f'and memory {row["memory_ratio"]:.2f}')
  print(*told, accelerator.told(row), flush=True)
