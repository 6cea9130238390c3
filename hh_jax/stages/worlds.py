"""Where a stage's examples come from: the one place the world is chosen.

`lab` is the embedded world whose truth is known; `hh` reads the official
files. Every function takes the stage's `DataConfig` and seed and returns the
same types for both.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from hh_jax.config import DataConfig, PMPConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import corpora, order, ranked, tranches
from hh_jax.data import hhh_prompt as real_prompt
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.comparisons import SIDES, Comparison, ComparisonSet
from hh_jax.data.dialogue import BREAK, Dialogue, Turn
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games, refusals
from hh_jax.lab import constants, crowd, judge, reading, reference
from hh_jax.lab import hhh_prompt as lab_prompt
from hh_jax.lab import posts as lab_posts
from hh_jax.lab import summaries as lab_summaries
from hh_jax.lab import world as lab
from hh_jax.stages import summaries

log = logging.getLogger(__name__)


def require_everything(data: DataConfig, seed: int) -> None:
  """Raises ValueError unless a whole pipeline finds what it reads.

  That is text, ranked answers and comparisons of both sides, some held out.
  """
  if data.world == 'lab':
    return
  corpora.corpus_files(data.data_dir)
  ranked.read_ranked_posts(data.data_dir)
  found = comparisons(data, seed).comparisons
  require_both_sides(data, found)
  if not split(found, data)[1]:
    raise ValueError(_no_prompt(data, 'test'))


def require_both_sides(data: DataConfig, found: Sequence[Comparison]) -> None:
  """Raises ValueError unless a model can be trained on either side."""
  for side in SIDES:
    if all(item.side != side for item in found):
      raise ValueError(
        f'{data.data_dir} has no {side} comparison, and a preference model is '
        'to be trained on either side; a file is of the side its name says'
      )


def lab_version(data: DataConfig) -> int | None:
  """Returns the lab's version, or None for the real world."""
  return constants.LAB_VERSION if data.world == 'lab' else None


def documents(data: DataConfig, seed: int) -> list[corpora.Document]:
  """Returns text for language modelling, in a fixed order.

  It is not split: text has no labels, and first human turns of the test part
  may occur in it, as they may in text from the web.
  """
  if data.world == 'hh':
    return corpora.read_documents(data.data_dir, limit=data.num_examples)
  made = lab.documents(seed, _lab_count(data))
  return [_lab_document(conversations) for conversations in made]


def _lab_count(data: DataConfig) -> int:
  if not data.num_examples:
    raise ValueError(
      'data.num_examples=0: the lab has no end; say how many to make'
    )
  return data.num_examples


def _lab_document(conversations: Sequence[Dialogue]) -> corpora.Document:
  """One dialogue of several conversations with breaks between them."""
  turns = list(conversations[0].turns)
  for conversation in conversations[1:]:
    turns += [Turn(BREAK, ''), *conversation.turns]
  return corpora.Document('', Dialogue(tuple(turns)), 'lab')


def comparisons(data: DataConfig, seed: int) -> ComparisonSet:
  """Returns all comparisons of both sides, unsplit, with the counts.

  Those of summaries are left out, taken alone or mixed in (section 5.2).
  """
  if data.world == 'hh':
    found = summaries.read(data)
    if not 0 < data.num_examples < found.num_kept:
      return found
    ids = order.permutation(seed, 'comparisons', 0, found.num_kept)
    taken = sorted(ids[: data.num_examples])
    num_left = found.num_kept - len(taken)
    log.info('%d of %d comparisons are used', len(taken), found.num_kept)
    return dataclasses.replace(
      found,
      comparisons=tuple(found.comparisons[i] for i in taken),
      rejected={**found.rejected, 'beyond_num_examples': num_left},
    )
  return _lab_comparisons(_lab_count(data), data.summaries, seed)


@functools.lru_cache(maxsize=2)
def _lab_comparisons(total: int, kind: str, seed: int) -> ComparisonSet:
  made = []
  for side in SIDES if kind != 'alone' else ():
    made.extend(lab.comparisons(seed, total // 2, side))
  if kind != 'none':
    made.extend(lab_summaries.comparisons(seed, total))
  return ComparisonSet.from_list(made)


def has_summaries(data: DataConfig) -> bool:
  """Whether there are comparisons of summaries (section 5.2)."""
  if data.world == 'lab':
    return True
  files = tranches.comparison_files(data.data_dir)
  return any(
    tranches.names_of(path)[1] == lab_summaries.TRANCHE for path in files
  )


def split(
  items: Sequence[Comparison], data: DataConfig
) -> tuple[list[Comparison], list[Comparison]]:
  """Splits by first human turn into the training span and the test part."""
  return comparisons_lib.split(
    items,
    data.test_fraction,
    data.span_start,
    data.span_end,
    data.split_offset,
  )


def ranked_pairs(config: PMPConfig) -> ranked.RankedPairs:
  """Returns ranked answers as comparisons, the better one chosen."""
  posts = _posts(config.data, config.seed, config.num_posts)
  return ranked.rank(posts, config.pairs_per_post, config.log_votes)


def best_answers(data: DataConfig, seed: int, num: int) -> list[Dialogue]:
  """Returns questions with their best answer, as two-turn dialogues [§A.1]."""
  return ranked.best_answers(_posts(data, seed, num))[:num]


def _posts(
  data: DataConfig, seed: int, num: int
) -> Sequence[ranked.RankedPost]:
  if data.world == 'hh':
    found = ranked.read_ranked_posts(data.data_dir)
    ids = order.permutation(seed, 'posts', 0, len(found))[: num or None]
    if len(ids) < len(found):
      log.info('%d of %d ranked posts are used', len(ids), len(found))
    return [found[i] for i in sorted(ids)]
  return [_lab_post(post) for post in lab_posts.ranked_posts(seed, num)]


def _lab_post(post: lab_posts.RankedPost) -> ranked.RankedPost:
  return ranked.RankedPost(
    site=post['site'],
    question_id=post['question_id'],
    title=post['title'],
    body=post['body'],
    score=post['score'],
    answers=tuple(ranked.Answer(**answer) for answer in post['answers']),
  )


def prompts(
  data: DataConfig,
  seed: int,
  num: int,
  harmless_fraction: float,
  is_held_out: bool,
) -> list[Prompt]:
  """Returns dialogues that end on a human turn, with their side.

  World `lab` makes as many as asked for; world `hh` removes the replies of
  the comparisons, returns fewer where a side has too few, and refuses to
  return none.
  """
  if data.world == 'hh':
    return _prompts_of_comparisons(
      data, seed, num, harmless_fraction, is_held_out
    )
  made = lab.prompts(
    seed,
    num,
    harmless_fraction,
    'test' if is_held_out else 'train',
    test_fraction=data.test_fraction,
  )
  return [Prompt(item.dialogue, item.side, item.prompt_id) for item in made]


def _prompts_of_comparisons(
  data: DataConfig,
  seed: int,
  num: int,
  harmless_fraction: float,
  is_held_out: bool,
) -> list[Prompt]:
  everything = comparisons(data, seed)
  train, test = split(everything.comparisons, data)
  pool = prompts_lib.from_comparisons(test if is_held_out else train)
  wanted = {'harmless': round(num * harmless_fraction)}
  wanted['helpful'] = num - wanted['harmless']
  chosen: list[Prompt] = []
  for side in SIDES:
    own = [prompt for prompt in pool if prompt.side == side]
    ids = order.permutation(seed, f'prompts/{side}', 0, len(own))
    chosen.extend(own[i] for i in ids[: wanted[side]])
    if wanted[side] > len(own):
      log.info(
        '%d %s prompts asked for, %d there', wanted[side], side, len(own)
      )
  if not chosen:
    part = 'test' if is_held_out else 'training'
    raise ValueError(_no_prompt(data, part))
  return [
    dataclasses.replace(prompt, id=index) for index, prompt in enumerate(chosen)
  ]


def _no_prompt(data: DataConfig, part: str) -> str:
  return (
    f'the {part} part of data_dir={data.data_dir} has no prompt; change '
    f'data.test_fraction={data.test_fraction}, the span or the data'
  )


def hhh_conversations(data: DataConfig) -> tuple[Dialogue, ...]:
  """Returns our own helpful, honest and harmless prompt of the world."""
  if data.world == 'lab':
    return lab_prompt.CONVERSATIONS
  return real_prompt.CONVERSATIONS


def side_of(data: DataConfig, prompt: Dialogue) -> str | None:
  """Returns the side of a prompt; None where that cannot be known."""
  return reading.side_of(prompt) if data.world == 'lab' else None


def has_gold(data: DataConfig) -> bool:
  """Whether a judge that knows the truth exists."""
  return data.world == 'lab'


def gold(prompt: Dialogue, reply: str, side: str) -> float:
  """Returns the lab judge's utility of a reply on a side, in nats."""
  return judge.utility(prompt, reply, side)


def gold_of_pairs(test: Sequence[Comparison]) -> np.ndarray:
  """Returns the gold utilities of chosen and rejected, [N, 2] float64."""
  return np.array(
    [
      [
        gold(item.prompt, item.chosen, item.side),
        gold(item.prompt, item.rejected, item.side),
      ]
      for item in test
    ]
  )


def best_gold(prompt: Dialogue, side: str) -> float:
  """Returns the mean utility of the best reply style to a lab prompt."""
  return reference.best_style(prompt, side)[1]


def is_refusal(data: DataConfig, prompt: Dialogue, reply: str) -> bool:
  """Whether a reply declines what was asked, or offers something else.

  In the lab the judge tells; elsewhere the wording does.
  """
  if data.world == 'lab':
    return judge.classify(prompt, reply) in ('refuse', 'redirect')
  return refusals.is_refusal(reply)


def make_judge(
  data: DataConfig,
  seed: int,
  prompts: Sequence[Prompt],
  score: Callable[[int, str], float],
) -> policy_games.Judge:
  """Builds the judge of games between policies.

  In the lab a worker of the crowd chooses. Elsewhere `score` stands in for
  people: reply a wins with probability 1 / (1 + e^(r_b - r_a)) (eq. 4.2).
  It is given the number of the prompt and a reply.
  """

  def choose(number: int, a: str, b: str, game: int) -> bool | None:
    prompt = prompts[number]
    rng = order.generator(seed, f'games/{prompt.id}/{game}/{hash_text(a, b)}')
    if data.world == 'lab':
      choice = crowd.compare(prompt.dialogue, a, b, prompt.side, rng)
      return choice.winner == 'a' if choice.kept else None
    gap = score(number, a) - score(number, b)
    return bool(rng.random() < 1 / (1 + math.exp(-gap)))

  return choose


def hash_text(*texts: str) -> int:
  """Returns a stable number for some texts."""
  return zlib.crc32('\0'.join(texts).encode())
