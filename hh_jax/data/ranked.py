"""Ranked web answers for preference-model pretraining.

1. A question has answers with votes. A score is made of the votes, and two
   answers of different score are a ranked pair, the higher score first; ties
   are counted and left out.
2. At most `max_pairs` pairs of a question are kept, those with the widest gap
   of score, then by the order of the file: deterministic.

Reference: Askell et al. 2021, appendix on preference-model pretraining.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
import re
from collections.abc import Iterable

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl

_TRAILING_SPACE = re.compile(r'[ \t\r]+(?=\n|$)')
_BLANK_LINES = re.compile(r'\n{3,}')


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer to a question and what voters thought of it."""

  id: int
  score: int  # votes
  accepted: bool
  text: str


@dataclasses.dataclass(frozen=True)
class RankedPost:
  """A question with scored answers; ids are kept for attribution."""

  site: str
  question_id: int
  title: str
  body: str
  score: int  # votes of the question
  answers: tuple[Answer, ...]


@dataclasses.dataclass(frozen=True)
class RankedPairs:
  """Pairs and what is left out: all pairs = pairs + ties + capped + empty."""

  pairs: tuple[comparisons_lib.Comparison, ...]
  num_posts: int
  num_answers: int
  num_ties: int  # equal scores
  num_capped: int  # beyond `max_pairs` of a question
  num_empty: int  # an answer is blank


def clean(text: str) -> str:
  """One kind of line end, no trailing space, at most one blank line."""
  text = text.replace('\r\n', '\n').replace('\xa0', ' ')
  text = _TRAILING_SPACE.sub('', text)
  return _BLANK_LINES.sub('\n\n', text).strip()


def _number(path: pathlib.Path, number: int, row: dict, name: str) -> int:
  value = row.get(name)
  if isinstance(value, bool) or not isinstance(value, int):
    raise ValueError(
      f'{path} row {number}: field {name!r} is {value!r}, not an integer'
    )
  return value


def _to_post(path: pathlib.Path, number: int, row: dict) -> RankedPost:
  answers = row.get('answers')
  if not isinstance(answers, list) or not all(
    isinstance(item, dict) for item in answers
  ):
    raise ValueError(f'{path} row {number}: field "answers" is no object list')
  return RankedPost(
    site=jsonl.text_field(path, number, row, 'site'),
    question_id=_number(path, number, row, 'question_id'),
    title=clean(jsonl.text_field(path, number, row, 'title')),
    body=clean(jsonl.text_field(path, number, row, 'body')),
    score=_number(path, number, row, 'score'),
    answers=tuple(
      Answer(
        id=_number(path, number, item, 'id'),
        score=_number(path, number, item, 'score'),
        accepted=bool(item.get('accepted', False)),
        text=clean(jsonl.text_field(path, number, item, 'text')),
      )
      for item in answers
    ),
  )


def ranked_files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
  """Files of ranked posts under a path; see `read_ranked_posts`.

  Raises:
    ValueError: There are none.
  """
  root = pathlib.Path(path)
  if not root.is_dir():
    return [root]
  files = jsonl.files_in(root)
  if not files and (root / 'stackexchange').is_dir():
    files = jsonl.files_in(root / 'stackexchange')
  if not files:
    raise ValueError(f'{root} has no ranked posts; give a jsonl of questions')
  return files


def read_ranked_posts(path: str | os.PathLike[str]) -> tuple[RankedPost, ...]:
  """Reads questions with their answers.

  Args:
    path: A jsonl[.gz] file, a folder of them, or a folder that has one as
      `stackexchange`.

  Raises:
    ValueError: nothing to read, or a bad row.
  """
  posts = tuple(
    _to_post(file, number, row)
    for file in ranked_files(path)
    for number, row in jsonl.read_rows(file)
  )
  if not posts:
    raise ValueError(f'{path} has no ranked posts; give a jsonl of questions')
  return posts


def question_prompt(post: RankedPost) -> dialogue_lib.Dialogue:
  """The question as one human turn."""
  text = '\n\n'.join(part for part in (post.title, post.body) if part)
  return dialogue_lib.Dialogue((dialogue_lib.Turn(dialogue_lib.HUMAN, text),))


def _as_comparison(
  post: RankedPost, better: Answer, worse: Answer
) -> comparisons_lib.Comparison:
  return comparisons_lib.Comparison(
    prompt=question_prompt(post),
    chosen=better.text,
    rejected=worse.text,
    side='helpful',
    tranche=f'ranked/{post.site}',
    turn=1,
  )


def rank(
  posts: Iterable[RankedPost], max_pairs: int, log_votes: bool
) -> RankedPairs:
  """All pairs of answers whose scores differ, better one first.

  Args:
    posts: Questions with answers.
    max_pairs: Most pairs of one question; 0 is no limit.
    log_votes: Whether votes count by their logarithm, see `score_of`.
  """
  pairs: list[comparisons_lib.Comparison] = []
  num_posts = num_answers = num_ties = num_capped = num_empty = 0
  for post in posts:
    num_posts += 1
    num_answers += len(post.answers)
    found = []
    for first, second in itertools.combinations(post.answers, 2):
      gap = score_of(first, log_votes) - score_of(second, log_votes)
      if gap == 0:
        num_ties += 1
      elif not (first.text and second.text):
        num_empty += 1
      elif gap > 0:
        found.append((gap, first, second))
      else:
        found.append((-gap, second, first))
    found.sort(key=lambda pair: -pair[0])
    kept = found[:max_pairs] if max_pairs else found
    num_capped += len(found) - len(kept)
    pairs.extend(
      _as_comparison(post, better, worse) for _, better, worse in kept
    )
  return RankedPairs(
    tuple(pairs), num_posts, num_answers, num_ties, num_capped, num_empty
  )


def score_of(answer: Answer, log_votes: bool) -> int:
  """What an answer is ranked by: its votes, or their logarithm.

  The latter is round(log2(1 + votes)), or -1 where they are negative, and one
  more if the asker accepted it.
  """
  if not log_votes:
    return answer.score
  value = -1 if answer.score < 0 else round(math.log2(1 + answer.score))
  return value + int(answer.accepted)


def best_answers(
  posts: Iterable[RankedPost],
) -> list[dialogue_lib.Dialogue]:
  """Each question with its answer of highest score, the first of equals."""
  found = []
  for post in posts:
    answers = [answer for answer in post.answers if answer.text]
    if answers:
      best = max(answers, key=lambda answer: answer.score)
      found.append(question_prompt(post).reply(best.text))
  return found
