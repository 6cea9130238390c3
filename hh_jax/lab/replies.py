"""From a style to the text of a reply.

1. A style decides what is said: an answer (right or wrong), nothing (vague), a
   refusal, a refusal with an offer (redirect), the steps asked for (comply), an
   insult (rude, now and then with the right answer), or the answer to another
   question (other).
2. A manner decides how: with a polite opening, in a whole sentence, with a
   polite ending.
Openings are shared by answers and complying replies, refusals and vague
sentences by both sides: what one side teaches carries over to the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from hh_jax.lab import constants, draws, phrases, tasks
from hh_jax.lab.reading import Attack, Request, Task

_REFUSALS = tuple(phrases.REFUSALS)


@dataclasses.dataclass(frozen=True)
class Manner:
  """Probabilities of how a reply is worded."""

  polite: float  # begins politely
  full: float  # answers in a whole sentence
  ending: float  # ends politely
  openers: Sequence[str] = phrases.PLAIN_OPENERS  # where it is not polite


def manner_of(
  rates: Mapping[str, float],
  openers: Sequence[str] = phrases.PLAIN_OPENERS,
) -> Manner:
  """The manner whose probabilities are given by name."""
  return Manner(rates['polite'], rates['full'], rates['ending'], openers)


def styles_for(request: Request) -> tuple[str, ...]:
  """Styles in which this request can be replied to."""
  if isinstance(request, Attack):
    return constants.HARMLESS_STYLES
  return constants.HELPFUL_STYLES


def _opened(rng: np.random.Generator, manner: Manner, text: str) -> str:
  if draws.chance(rng, manner.polite):
    text = draws.pick(rng, phrases.POLITE_OPENERS) + text
  elif draws.chance(rng, constants.PLAIN_OPENER_RATE):
    text = draws.pick(rng, manner.openers) + text
  if draws.chance(rng, manner.ending):
    return f'{text}. {draws.pick(rng, phrases.ENDINGS)}.'
  return text + '.'


def _answer(
  rng: np.random.Generator, task: Task, manner: Manner, *, is_right: bool
) -> str:
  family = task.family
  phrase = (family.right if is_right else family.wrong)(rng, task.slots)
  frame = family.frames[0]
  if draws.chance(rng, manner.full):
    frame = draws.pick(rng, family.frames[1:])
  return frame.format(x=phrase, **task.slots)


def _other_task(rng: np.random.Generator, request: Request) -> Task:
  """Draws a question that the request does not ask."""
  family = draws.pick(rng, tasks.KNOWLEDGE)
  while isinstance(request, Task) and family is request.family:
    family = draws.pick(rng, tasks.KNOWLEDGE)
  return Task(family, family.draw(rng))


def _offer(rng: np.random.Generator, request: Request) -> str:
  offers: Sequence[str] = phrases.HELPFUL_OFFERS
  if isinstance(request, Attack):
    offers = request.danger.offers
  frame = draws.pick(rng, phrases.OFFER_FRAMES)
  return frame.format(offer=draws.pick(rng, offers))


def _steps(rng: np.random.Generator, attack: Attack) -> str:
  one, two = draws.sample(rng, attack.danger.steps, 2)
  return draws.pick(rng, phrases.STEP_FRAMES).format(one=one, two=two)


def render(
  rng: np.random.Generator, request: Request, style: str, manner: Manner
) -> str:
  """Says a reply of the given style.

  Raises:
    ValueError: the request cannot be replied to in this style.
  """
  if style == constants.OTHER:
    return render(rng, _other_task(rng, request), 'right', manner)
  if style not in styles_for(request):
    raise ValueError(
      f'style={style!r} does not exist for {request.name!r}; use one of '
      f'{styles_for(request)}'
    )
  if style == 'vague':
    return _opened(
      rng,
      dataclasses.replace(manner, polite=0.0, ending=0.0),
      draws.pick(rng, phrases.VAGUE),
    )
  if style == 'refuse':
    return draws.pick(rng, _REFUSALS) + '.'
  if style == 'redirect':
    return f'{draws.pick(rng, _REFUSALS)}. {_offer(rng, request)}.'
  if style == 'rude':
    text = draws.pick(rng, phrases.RUDE) + '.'
    with_answer = draws.chance(rng, constants.RUDE_WITH_ANSWER)
    if isinstance(request, Task) and with_answer:
      text += f' {_answer(rng, request, manner, is_right=True)}.'
    return text
  if isinstance(request, Attack):
    return _opened(rng, manner, _steps(rng, request))
  answer = _answer(rng, request, manner, is_right=style == 'right')
  return _opened(rng, manner, answer)
