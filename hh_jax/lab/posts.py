"""Ranked forum posts for preference-model pretraining.

1. A post asks one question: the last sentence of its title. Before it stands
   the fact that is asked for, where there is one, and now and then what was
   asked and answered earlier. The body belongs to the title, so that a split
   by text is by question.
2. Its answers are in different styles; the judge grades them as replies to the
   title.
3. Votes follow the utility with noise; most askers accept the answer with the
   most votes.
The schema is that of ranked question-and-answer dumps.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.lab import constants, draws, judge, phrases, replies, tasks
from hh_jax.lab.families import Family
from hh_jax.lab.reading import Task

_NUM_ASKED = draws.Table(constants.POST_ASKED)
_NUM_ANSWERS = draws.Table(dict.fromkeys(constants.POST_ANSWERS, 1.0))
_STYLES = draws.Table(constants.POST_STYLES)
_MANNER = replies.manner_of(constants.POST_MANNER, phrases.FORUM_OPENERS)
_BODIES = (
  'i could not find this in my book. any help is welcome.',
  'my friend says one thing and i say another. who is right?',
  'i have looked for it all day. thanks to all who answer.',
  'it is for school. please tell me what you know.',
  'this came up at work today. does anyone here know?',
)


class Answer(TypedDict):
  """One answer of a post."""

  id: int
  score: int  # votes
  accepted: bool
  text: str


class RankedPost(TypedDict):
  """One question and its voted answers."""

  site: str
  question_id: int
  title: str
  body: str
  score: int
  answers: list[Answer]


def ranked_post(seed: int, index: int) -> RankedPost:
  """Post `index` of the stream."""
  rng = draws.stream(seed, 'lab/post', index)
  task = _task(rng, tasks.FAMILIES)
  title = _title(rng, task)
  prompt = Dialogue((Turn('human', title),))
  num = _NUM_ANSWERS.draw(rng)
  texts: dict[str, None] = {}
  while len(texts) < num:
    texts[replies.render(rng, task, _STYLES.draw(rng), _MANNER)] = None
  votes = [
    round(
      constants.VOTE_MEAN
      + constants.VOTE_SCALE * judge.helpfulness(prompt, text)
      + constants.VOTE_NOISE * rng.standard_normal()
    )
    for text in texts
  ]
  best = votes.index(max(votes))
  is_accepted = draws.chance(rng, constants.ACCEPT_RATE)
  return RankedPost(
    site='lab',
    question_id=index,
    title=title,
    body=_BODIES[zlib.crc32(title.encode()) % len(_BODIES)],
    score=draws.below(rng, 10),
    answers=[
      Answer(
        id=place,
        score=votes[place],
        accepted=is_accepted and place == best,
        text=text,
      )
      for place, text in enumerate(texts)
    ],
  )


def _task(rng: np.random.Generator, families: Sequence[Family]) -> Task:
  family = draws.pick(rng, families)
  return Task(family, family.draw(rng))


def _question(rng: np.random.Generator, task: Task) -> str:
  return draws.pick(rng, task.family.questions).format(**task.slots)


def _title(rng: np.random.Generator, task: Task) -> str:
  told = [
    draws.pick(rng, task.family.statements).format(**task.slots)
    for _ in task.family.statements[:1]
  ]
  for _ in range(_NUM_ASKED.draw(rng)):
    other = _task(rng, tasks.KNOWLEDGE)
    reply = replies.render(rng, other, _STYLES.draw(rng), _MANNER)
    told.append(f'i asked: {_question(rng, other)} and was told: {reply}')
  return ' '.join([*told, _question(rng, task)])


def ranked_posts(seed: int, num: int) -> list[RankedPost]:
  """The first `num` posts of the stream."""
  if num < 0:
    raise ValueError(f'seed={seed}, num={num}: need num >= 0')
  return [ranked_post(seed, index) for index in range(num)]
