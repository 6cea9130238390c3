"""Comparisons: two replies to one prompt, the first preferred by a person.

1. A file of `{chosen, rejected}` transcripts is read row by row.
2. Every row is kept or rejected for one named reason, the first of `REASONS`
   that applies, so that read = kept + sum of rejected.
3. A split is by hash of the first human turn: conversations repeat, and all
   rows of one fall on the same side.

Reference: Bai et al. 2022, sections 2.2-2.3.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl, tranches

SIDES = ('helpful', 'harmless')

# Why a row is left out, in the order in which the reasons are tried.
REASONS = (
  'no_final_assistant',  # a transcript has none, or a human turn follows it
  'no_first_human',  # a transcript does not start with a human turn
  'prompt_mismatch',  # the two replies answer different prompts
  'roles_do_not_alternate',  # two turns of one role in the shared prompt
  'empty_response',  # a reply is empty or blank
  'identical_pair',  # both transcripts are the same text
  'bad_weight',  # the row's own weight is no finite number >= 0
)

_HEX_DIGITS = 13  # of the hash; 52 bits fit a double exactly


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A prompt that ends on a human turn, and the two replies to it."""

  prompt: dialogue_lib.Dialogue
  chosen: str  # text of the preferred reply, without the leading space
  rejected: str
  side: str  # 'helpful' or 'harmless'
  tranche: str  # 'harmless-base', 'helpful-online', ...
  turn: int  # exchange the replies belong to, 1 is the first
  weight: float = 1.0  # multiplies the loss, not its denominator

  def __post_init__(self):
    if self.side not in SIDES:
      raise ValueError(f'side={self.side!r} is not one of {SIDES}')
    turns = self.prompt.turns
    if not turns or turns[-1].role != dialogue_lib.HUMAN:
      raise ValueError(
        f'prompt of {len(turns)} turns does not end on a human turn; a '
        'comparison judges the assistant reply after it'
      )


@dataclasses.dataclass(frozen=True)
class ComparisonSet:
  """What was read, what was kept, and why the rest was not.

  `anomalies` counts everything that applies, kept or not, in these units:
    empty_responses: replies; differing_prompts: rows; identical_pairs: rows;
    non_alternating_transcripts: transcripts of rows with one shared prompt;
    non_alternating_in_differing: the same among rows whose prompts differ,
      where the extra turn is what makes them differ;
    empty_context_turns: kept rows with a blank turn before the last one;
    duplicate_prompts: kept rows whose prompt an earlier kept row had.
  """

  comparisons: tuple[Comparison, ...]
  num_read: int
  rejected: Mapping[str, int]  # reason -> rows
  anomalies: Mapping[str, int]
  characters: tuple[int, ...]  # of the chosen transcript, all rows read
  sources: Mapping[str, str]  # file -> SHA-256

  @classmethod
  def from_list(cls, comparisons: Sequence[Comparison]) -> ComparisonSet:
    """A set that was made and not read: nothing is rejected."""
    kept = tuple(comparisons)
    lengths = tuple(
      len(dialogue_lib.format_transcript(pair.prompt.reply(pair.chosen)))
      for pair in kept
    )
    rejected = dict.fromkeys(REASONS, 0)
    return cls(kept, len(kept), rejected, {}, lengths, {})

  @property
  def num_kept(self) -> int:
    return len(self.comparisons)

  def counts(self) -> dict[str, Any]:
    """Read = kept + rejected, by reason."""
    return {
      'read': self.num_read,
      'kept': self.num_kept,
      'rejected': dict(self.rejected),
    }


@dataclasses.dataclass(frozen=True)
class _Half:
  """One transcript of a row, cut into prompt and reply."""

  prompt: str
  reply: str
  has_final: bool
  starts_human: bool
  is_alternating: bool


def _cut(text: str) -> _Half:
  assistant = dialogue_lib.MARKERS[dialogue_lib.ASSISTANT]
  human = dialogue_lib.MARKERS[dialogue_lib.HUMAN]
  if assistant not in text:
    return _Half(text, '', False, text.startswith(human), True)
  prompt, reply = dialogue_lib.split_final_reply(text)
  starts_human = text.startswith(human)
  is_alternating = starts_human and dialogue_lib.alternates(
    dialogue_lib.parse_transcript(prompt)
  )
  return _Half(prompt, reply, human not in reply, starts_human, is_alternating)


def _is_weight(value: object) -> bool:
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    return False
  return 0 <= value < 2.0**128  # NaN is not; float32 ends there


def _faults(halves: tuple[_Half, _Half], weight: object) -> dict[str, bool]:
  """Which reasons apply to a row; keys in the order of `REASONS`."""
  faults = (
    not all(half.has_final for half in halves),
    not all(half.starts_human for half in halves),
    halves[0].prompt != halves[1].prompt,
    not all(half.is_alternating for half in halves),
    any(not half.reply.strip() for half in halves),
    halves[0] == halves[1],
    not _is_weight(weight),
  )
  return dict(zip(REASONS, faults, strict=True))


def _count_anomalies(
  anomalies: collections.Counter[str],
  halves: tuple[_Half, _Half],
  faults: Mapping[str, bool],
) -> None:
  anomalies['empty_responses'] += sum(not h.reply.strip() for h in halves)
  anomalies['differing_prompts'] += faults['prompt_mismatch']
  anomalies['identical_pairs'] += faults['identical_pair']
  num_wrong = sum(h.starts_human and not h.is_alternating for h in halves)
  if faults['prompt_mismatch']:
    anomalies['non_alternating_in_differing'] += num_wrong
  else:
    anomalies['non_alternating_transcripts'] += num_wrong


def _to_comparison(
  path: pathlib.Path, number: int, row: dict, half: _Half, rejected: _Half
) -> Comparison:
  side, tranche = tranches.names_of(path)
  marker = dialogue_lib.MARKERS[dialogue_lib.ASSISTANT]
  prompt = dialogue_lib.parse_transcript(half.prompt.removesuffix(marker))
  try:
    return Comparison(
      prompt=prompt,
      chosen=half.reply.removeprefix(' '),
      rejected=rejected.reply.removeprefix(' '),
      side=str(row.get('side', side)),
      tranche=str(row.get('tranche', tranche)),
      turn=prompt.num_human,
      weight=float(row.get('weight', 1.0)),
    )
  except ValueError as error:
    raise ValueError(f'{path} row {number}: {error}') from None


def read_comparisons(data_dir: str | os.PathLike[str]) -> ComparisonSet:
  """Reads every comparison under a path; see `tranches.comparison_files`.

  A row may say its own `side`, `tranche` and `weight`; otherwise side and
  tranche come from the name of its file.

  Raises:
    ValueError: a file is missing, truncated or malformed, or no row is kept.
  """
  kept: list[Comparison] = []
  characters: list[int] = []
  rejected: collections.Counter[str] = collections.Counter()
  anomalies: collections.Counter[str] = collections.Counter()
  prompts: set[str] = set()
  files = tranches.comparison_files(data_dir)
  for path in files:
    for number, row in jsonl.read_rows(path):
      texts = [
        jsonl.text_field(path, number, row, name)
        for name in ('chosen', 'rejected')
      ]
      characters.append(len(texts[0]))
      halves = (_cut(texts[0]), _cut(texts[1]))
      faults = _faults(halves, row.get('weight', 1.0))
      _count_anomalies(anomalies, halves, faults)
      reason = next((name for name in REASONS if faults[name]), None)
      if reason:
        rejected[reason] += 1
        continue
      comparison = _to_comparison(path, number, row, *halves)
      anomalies['duplicate_prompts'] += halves[0].prompt in prompts
      anomalies['empty_context_turns'] += any(
        not turn.text.strip() for turn in comparison.prompt.turns
      )
      prompts.add(halves[0].prompt)
      kept.append(comparison)
  if not kept:
    raise ValueError(
      f'{data_dir}: no comparison kept of {len(characters)} rows '
      f'(rejected: {dict(rejected)}); rows need chosen and rejected '
      'transcripts with one prompt'
    )
  return ComparisonSet(
    comparisons=tuple(kept),
    num_read=len(characters),
    rejected={name: rejected[name] for name in REASONS},
    anomalies=dict(sorted(anomalies.items())),
    characters=tuple(characters),
    sources={str(path): jsonl.sha256_of(path) for path in files},
  )


def hash_unit(first_human: str) -> float:
  """Place of a conversation in [0, 1), by its first human turn."""
  digest = hashlib.sha256(first_human.strip().encode('utf-8')).hexdigest()
  return int(digest[:_HEX_DIGITS], 16) / 16**_HEX_DIGITS


def place_of(first_human: str, offset: float = 0.0) -> float:
  """Place of a conversation in [0, 1) after turning the circle by `offset`."""
  return (hash_unit(first_human) - offset) % 1.0


def in_span(
  first_human: str,
  *,
  test_fraction: float,
  span_start: float = 0.0,
  span_end: float = 1.0,
  offset: float = 0.0,
) -> bool:
  """Whether a conversation is in the given part of the training split.

  Spans cut the training split itself, so that disjoint spans give disjoint
  halves whatever `test_fraction` is.
  """
  unit = place_of(first_human, offset)
  if unit < test_fraction:
    return False
  place = (unit - test_fraction) / (1 - test_fraction)
  return span_start <= place < span_end


def split(
  comparisons: Iterable[Comparison],
  test_fraction: float,
  span_start: float = 0.0,
  span_end: float = 1.0,
  offset: float = 0.0,
) -> tuple[list[Comparison], list[Comparison]]:
  """Splits by first human turn into (training span, test), order kept.

  Args:
    comparisons: What is split.
    test_fraction: Share of first turns in the test part.
    span_start: Start of the part of the training split that is returned.
    span_end: Its end.
    offset: Turns the split, so that offsets of k * test_fraction are folds.
  """
  train, test = [], []
  for comparison in comparisons:
    first = comparison.prompt.first_human
    if place_of(first, offset) < test_fraction:
      test.append(comparison)
    elif in_span(
      first,
      test_fraction=test_fraction,
      span_start=span_start,
      span_end=span_end,
      offset=offset,
    ):
      train.append(comparison)
  return train, test
