"""Prompts for RLHF that a language model writes after a few human ones.

1. A context is about ten first human turns of the training split, of one side,
   with breaks between them, and an opened human turn: the model goes on with
   another query of that side. Several are sampled after one context.
2. Rounds of samples are kept as files: a run that was stopped goes on with the
   next round, and every text is judged again, so that stopping changes nothing.
3. Left out, and kept apart with the reason: texts that are empty, do not end,
   would be held out (by the split's hash), copy a human query, repeat an
   earlier prompt, or nearly do one of the two.

A prompt is of the side of its context. In the lab, where it can be read, one of
the other side is left out, too; elsewhere nobody checks.

Deviation: the paper picks good queries by hand; these are drawn at random.

Reference: Bai et al. 2022, section 4.1.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from hh_jax.config import PromptsConfig, RLHFConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import jsonl, order, sieve
from hh_jax.data.comparisons import SIDES
from hh_jax.data.dialogue import (
  ASSISTANT,
  BREAK,
  HUMAN,
  MARKERS,
  Dialogue,
  Turn,
)
from hh_jax.data.prompts import Prompt
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.generation import best_of_k, decode
from hh_jax.stages import inputs, loading, session, worlds
from hh_jax.training import keys
from hh_jax.training import workdir as workdir_lib

FILE = 'samples/prompts.jsonl'
LEFT_OUT = 'samples/left_out.jsonl'
ROUNDS = 'rounds'  # folder in a run's workdir
KEPT = 'kept'

Sample = dict[str, Any]  # `text`, and whether it `ended`

log = logging.getLogger(__name__)


def run(config: PromptsConfig, workdir: str | pathlib.Path) -> str:
  """Writes prompts into `workdir`; returns its one-line result.

  Raises:
    ValueError: Too few human queries, or none of the samples can be kept.
  """
  inputs.require(config)
  writer = loading.load_run(config.init_from)
  claimed = session.begin('prompts', config, workdir, {'init_from': writer})
  if claimed.result:
    return claimed.result['line']
  wanted = {'harmless': round(config.num_prompts * config.harmless_fraction)}
  wanted['helpful'] = config.num_prompts - wanted['harmless']
  kept: list[Sample] = []
  left_out: list[Sample] = []
  counts = {}
  for side in SIDES:
    if wanted[side]:
      rounds = Rounds(config, writer, side, claimed.workdir / ROUNDS)
      judged = list(sift(config, rounds, wanted[side]))
      kept += [row for row in judged if row['verdict'] == KEPT]
      left_out += [row for row in judged if row['verdict'] != KEPT]
      verdicts = collections.Counter(row['verdict'] for row in judged)
      counts[side] = {
        'asked_for': wanted[side],
        'sampled': len(judged),
        **dict(sorted(verdicts.items())),
      }
  workdir_lib.write_jsonl(claimed.workdir / FILE, map(_as_row, kept))
  workdir_lib.write_jsonl(claimed.workdir / LEFT_OUT, left_out)
  digest = jsonl.sha256_of(claimed.workdir / FILE)
  values = {'counts': counts, 'num_prompts': len(kept)}
  return claimed.close(
    f'prompts: {len(kept)} of {config.num_prompts} asked for; '
    + '; '.join(map(_in_words, counts, counts.values())),
    {**values, 'state_sha256': digest},
  )


def _in_words(side: str, counts: dict[str, int]) -> str:
  parts = [f'{count} {name}' for name, count in counts.items()]
  return f'{side}: {", ".join(parts[1:])}'


def _as_row(sample: Sample) -> dict[str, Any]:
  turns = [{'role': HUMAN, 'text': sample['text']}]
  return {'prompt': turns, 'side': sample['side']}


def read(folder: str | pathlib.Path) -> list[Prompt]:
  """Returns the prompts of a finished run, in the order they were kept."""
  rows = jsonl.read_rows(pathlib.Path(folder) / FILE)
  return [
    Prompt(
      Dialogue(tuple(Turn(**turn) for turn in row['prompt'])),
      row['side'],
      number,
    )
    for number, (_, row) in enumerate(rows)
  ]


def sources(config: RLHFConfig) -> dict[str, str]:
  """Returns the hash of the prompts that a policy is to train on, if any."""
  if not config.prompts_from:
    return {}
  result = workdir_lib.read_result(config.prompts_from)
  return {'prompts_from': result['state_sha256']}


@dataclasses.dataclass(frozen=True)
class Rounds:
  """Samples of one side, round after round."""

  config: PromptsConfig
  writer: loading.Run
  side: str
  folder: pathlib.Path

  def of(self, number: int, queries: Sequence[str]) -> list[Sample]:
    """The samples of a round, read where it was sampled before."""
    path = self.folder / f'{self.side}-{number:06d}.json'
    if not path.exists():
      self.folder.mkdir(parents=True, exist_ok=True)
      workdir_lib.write_json(path, self._sample(number, queries))
    return json.loads(path.read_text())

  def _sample(self, number: int, queries: Sequence[str]) -> list[Sample]:
    config, tokenizer = self.config, self.writer.tokenizer
    num_contexts = config.data.batch_size // config.prompts_per_context
    contexts = [
      context_of(tokenizer, [queries[i] for i in drawn])
      for drawn in (
        order.generator(
          config.seed,
          f'prompts/{self.side}',
          number * num_contexts + place,
        ).choice(len(queries), config.shots, replace=False)
        for place in range(num_contexts)
      )
    ]
    generated = decode.generate(
      self.writer.model,
      self.writer.params,
      contexts,
      best_of_k.reply_ids(np.arange(num_contexts), config.prompts_per_context),
      keys.fold(config.seed, 'prompts', self.side, number),
      dataclasses.replace(config.sampling, stop_at_turn=True),
      tokenizer.turn_markers,
    )
    most = config.sampling.max_new_tokens
    ended = generated.has_eot | (generated.num_tokens < most)
    return [
      {'text': tokenizer.decode_reply(ids).strip(), 'ended': bool(is_end)}
      for ids, is_end in zip(generated.contents(), ended, strict=True)
    ]


def human_queries(config: PromptsConfig, side: str) -> list[str]:
  """First human turns of the training split, each once."""
  found = worlds.prompts(
    config.data,
    config.seed,
    config.num_queries,
    float(side == 'harmless'),
    is_held_out=False,
  )
  return list(dict.fromkeys(item.dialogue.first_human for item in found))


def that_fit(
  config: PromptsConfig, tokenizer: Tokenizer, queries: Sequence[str], side: str
) -> list[str]:
  """Queries so short that any of them make up a context.

  Raises:
    ValueError: There are fewer than a context takes.
  """
  room = config.data.row_length - config.sampling.max_new_tokens
  longest = room // config.shots
  short = [q for q in queries if len(_shot(tokenizer, q)) <= longest]
  log.info(
    '%d of %d %s queries have at most %d tokens and may stand in a context',
    len(short),
    len(queries),
    side,
    longest,
  )
  if len(short) < config.shots:
    raise ValueError(
      f'{len(short)} {side} human queries have at most {longest} tokens, and a '
      f'context takes shots={config.shots}; raise num_queries='
      f'{config.num_queries} or data.row_length={config.data.row_length}, or '
      'lower shots'
    )
  return short


def _shot(tokenizer: Tokenizer, text: str) -> np.ndarray:
  turns = (Turn(HUMAN, text), Turn(BREAK, ''))
  return tokenizer.encode_dialogue(Dialogue(turns))


def context_of(tokenizer: Tokenizer, queries: Sequence[str]) -> np.ndarray:
  """Ids of human queries, and of the marker that opens the next one."""
  shots = [_shot(tokenizer, text) for text in queries]
  return np.concatenate([*shots, tokenizer.encode_turn_marker(HUMAN)])


def sift(
  config: PromptsConfig, rounds: Rounds, wanted: int
) -> Iterator[Sample]:
  """Yields samples with their side and verdict until enough are kept.

  Raises:
    ValueError: None of the samples can be kept.
  """
  queries = human_queries(config, rounds.side)
  shots = that_fit(config, rounds.writer.tokenizer, queries, rounds.side)
  seen = sieve.Sieve(config.near_duplicate, queries)
  human = {sieve.plain(query) for query in queries}
  num_kept = num_sampled = number = 0
  verdicts: collections.Counter[str] = collections.Counter()
  while num_kept < wanted and num_sampled < config.tries * wanted:
    for sample in rounds.of(number, shots):
      if num_kept == wanted:
        break
      verdict = judge(config, sample, rounds.side, seen, human)
      if verdict == KEPT:
        seen.add(sample['text'])
        num_kept += 1
      verdicts[verdict] += 1
      num_sampled += 1
      yield {**sample, 'side': rounds.side, 'verdict': verdict}
    number += 1
  if not num_kept:
    raise ValueError(
      f'none of {num_sampled} sampled {rounds.side} prompts can be kept '
      f'({dict(sorted(verdicts.items()))}): {config.init_from} does not write '
      'queries; take a larger or longer trained model, or raise '
      'near_duplicate'
    )


def judge(
  config: PromptsConfig,
  sample: Sample,
  side: str,
  seen: sieve.Sieve,
  human: Collection[str],
) -> str:
  """Says `kept`, or why a sample is left out.

  Args:
    config: The split, and how near is too near.
    sample: What the model wrote.
    side: Of the queries it wrote after.
    seen: Human queries and prompts kept so far.
    human: Human queries, plainly spelled.
  """
  text = sample['text']
  if not text:
    return 'empty'
  if not sample['ended']:
    return 'unfinished'
  if any(MARKERS[role].strip() in text for role in (HUMAN, ASSISTANT)):
    return 'spells a turn marker'
  data = config.data
  place = comparisons_lib.place_of(text, data.split_offset)
  if place < data.test_fraction:
    return 'held out'
  if seen.is_copy(text):
    return 'copied' if sieve.plain(text) in human else 'repeated'
  if seen.is_near(text):
    return 'near-duplicate'
  asked = worlds.side_of(data, Dialogue.alternating(text))
  return KEPT if asked in (None, side) else 'of the other side'
