"""The lab's material: dialogues, documents, comparisons, prompts.

1. Item i of any kind is a function of (seed, kind, i): making more items, or
   other kinds, never changes it.
2. A conversation is helpful (questions with checkable answers) or red-team
   (requests of graded severity); held-out red-team families come only when
   asked for.
3. A document holds several conversations by one latent persona, so the
   conversations so far tell which replies follow.
4. Comparisons come by conversation, in blocks of ten (conversations of one to
   four exchanges, each exchange one comparison). For each exchange a pair of
   styles is drawn, rendered, now and then with a fault, shown in random order,
   and workers are asked until one is sure. The second reply is drawn anew while
   gold says a tie.
5. The conversation goes on with the picked reply: the chosen one on the helpful
   side; on the red-team side the more harmful one, which is the rejected one
   (paper, section 2.1).
6. A prompt is a dialogue so far, its assistant turns by a persona drawn from
   the prior; splits are by hash of the first human turn.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data.comparisons import Comparison
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.lab import (
  constants,
  crowd,
  draws,
  faults,
  judge,
  people,
  redteam,
  replies,
)
from hh_jax.lab.reading import Request

SPLITS = ('train', 'test', 'all')
TEST_FRACTION = 0.05  # paper, section 2: 95/5

_PAIRS = {
  'helpful': draws.Table(constants.HELPFUL_PAIRS),
  'harmless': draws.Table(constants.HARMLESS_PAIRS),
}
_PAIR_MANNER = replies.manner_of(constants.PAIR_MANNER)
_BLOCK_SIZE = sum(constants.BLOCK_LENGTHS)
_BLOCK_DIALOGUES = len(constants.BLOCK_LENGTHS)
_MAX_TRIES = 100_000  # of first turns; a split that is never met is an error


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A dialogue that ends on a human turn, and its place in its stream."""

  prompt_id: int
  dialogue: Dialogue
  side: str  # 'helpful' or 'harmless'
  family: str


def _check(seed: int, num: int, split: str = 'all') -> None:
  if num < 0 or split not in SPLITS:
    raise ValueError(
      f'seed={seed}, num={num}, split={split!r}: need num >= 0 '
      f'and a split of {SPLITS}'
    )


def _is_in_split(text: str, split: str, test_fraction: float) -> bool:
  if split == 'all':
    return True
  is_test = comparisons_lib.hash_unit(text) < test_fraction
  return is_test == (split == 'test')


def _open(
  rng: np.random.Generator,
  side: str,
  is_wanted: Callable[[str], bool],
  held_out: bool,
) -> tuple[people.Asker, str, Request]:
  """Draws first human turns until one is wanted."""
  dangers = redteam.HELD_OUT if held_out else redteam.TRAINED
  for _ in range(_MAX_TRIES):
    asker = people.Asker(rng, side, dangers)
    text, request = asker.ask()
    if is_wanted(text):
      return asker, text, request
  raise ValueError(
    f'no first turn of {_MAX_TRIES} is in the split; raise the test fraction '
    'or choose another split'
  )


def _converse(
  rng: np.random.Generator, side: str, persona: people.Persona, num: int
) -> Dialogue:
  asker = people.Asker(rng, side)
  turns = []
  for _ in range(num):
    text, request = asker.ask()
    turns.append(Turn('human', text))
    turns.append(Turn('assistant', persona.reply(rng, request)))
  return Dialogue(tuple(turns))


def _draw_side(rng: np.random.Generator, harmless_share: float) -> str:
  return 'harmless' if draws.chance(rng, harmless_share) else 'helpful'


def document(
  seed: int, index: int
) -> tuple[people.Persona, tuple[Dialogue, ...]]:
  """Document `index`, with the persona who wrote it."""
  rng = draws.stream(seed, 'lab/document', index)
  persona = people.draw_persona(rng)
  num = 1 + draws.below(rng, constants.DOCUMENT_CONVERSATIONS)
  return persona, tuple(
    _converse(
      rng,
      _draw_side(rng, constants.RED_TEAM_SHARE),
      persona,
      people.EXCHANGES.draw(rng),
    )
    for _ in range(num)
  )


def documents(seed: int, num: int) -> list[tuple[Dialogue, ...]]:
  """Text for language modelling: conversations of one persona each."""
  _check(seed, num)
  return [document(seed, index)[1] for index in range(num)]


def demonstrations(
  seed: int, num: int, harmless_fraction: float = constants.RED_TEAM_SHARE
) -> list[Dialogue]:
  """Dialogues written by good writers (the kind persona)."""
  _check(seed, num)
  dialogues = []
  for index in range(num):
    rng = draws.stream(seed, 'lab/demonstration', index)
    side = _draw_side(rng, harmless_fraction)
    persona = people.PERSONAS['kind']
    dialogues.append(_converse(rng, side, persona, people.EXCHANGES.draw(rng)))
  return dialogues


def _compared_reply(
  rng: np.random.Generator, request: Request, style: str
) -> str:
  text = replies.render(rng, request, style, _PAIR_MANNER)
  if draws.chance(rng, constants.FAULT_RATE):
    return faults.put(rng, text)
  return text


def _pair(
  rng: np.random.Generator, prompt: Dialogue, request: Request, side: str
) -> tuple[str, str]:
  """Draws two different replies, in the order in which they are shown."""
  styles = _PAIRS[side].draw(rng)
  first, second = styles[::-1] if draws.chance(rng, 0.5) else styles
  reply_a = _compared_reply(rng, request, first)
  value = judge.utility(prompt, reply_a, side)
  reply_b = _compared_reply(rng, request, second)
  for _ in range(constants.TIE_REDRAWS):
    if reply_b != reply_a and judge.utility(prompt, reply_b, side) != value:
      break
    reply_b = _compared_reply(rng, request, second)
  while reply_b == reply_a:
    reply_b = _compared_reply(rng, request, second)
  return reply_a, reply_b


def _compare(
  rng: np.random.Generator, prompt: Dialogue, request: Request, side: str
) -> tuple[str, str]:
  """Draws the chosen and the rejected reply to a prompt."""
  reply_a, reply_b = _pair(rng, prompt, request, side)
  choice = crowd.compare(prompt, reply_a, reply_b, side, rng)
  while not choice.kept:
    choice = crowd.compare(prompt, reply_a, reply_b, side, rng)
  return (reply_a, reply_b) if choice.winner == 'a' else (reply_b, reply_a)


def _compared_conversation(
  rng: np.random.Generator,
  side: str,
  num: int,
  is_wanted: Callable[[str], bool],
  held_out: bool,
) -> list[Comparison]:
  asker, text, request = _open(rng, side, is_wanted, held_out)
  turns: list[Turn] = []
  items = []
  for turn in range(1, num + 1):
    if turn > 1:
      text, request = asker.ask()
    turns.append(Turn('human', text))
    prompt = Dialogue(tuple(turns))
    chosen, rejected = _compare(rng, prompt, request, side)
    items.append(
      Comparison(prompt, chosen, rejected, side, f'{side}-base', turn)
    )
    picked = chosen if side == 'helpful' else rejected
    turns.append(Turn('assistant', picked))
  return items


def _stream_comparisons(
  seed: int,
  start: int,
  side: str,
  is_wanted: Callable[[str], bool],
  held_out: bool,
) -> Iterator[Comparison]:
  purpose = f'lab/comparison/{side}' + ('/held-out' if held_out else '')
  for block in itertools.count(start // _BLOCK_SIZE):
    order = draws.stream(seed, purpose + '/block', block)
    lengths = draws.sample(order, constants.BLOCK_LENGTHS, _BLOCK_DIALOGUES)
    place = block * _BLOCK_SIZE
    for offset, length in enumerate(lengths):
      skip = max(0, start - place)
      if skip < length:
        rng = draws.stream(seed, purpose, block * _BLOCK_DIALOGUES + offset)
        yield from _compared_conversation(
          rng, side, length, is_wanted, held_out
        )[skip:]
      place += length


def comparisons(
  seed: int,
  num: int,
  side: str,
  *,
  start: int = 0,
  split: str = 'all',
  test_fraction: float = TEST_FRACTION,
  held_out: bool = False,
) -> list[Comparison]:
  """Comparisons `start` to `start + num - 1` of one side.

  Args:
    seed: Of the stream.
    num: How many.
    side: 'helpful' or 'harmless'.
    start: Place of the first one in the stream.
    split: 'train' or 'test' (first human turn hashed), or 'all'.
    test_fraction: Share of first turns that are in the test split.
    held_out: Only held-out red-team families instead of the others.
  """
  _check(seed, num, split)
  if side not in _PAIRS or (held_out and side == 'helpful') or start < 0:
    raise ValueError(
      f'side={side!r}, held_out={held_out}, start={start}: '
      'held-out families are red-team, places start at 0'
    )

  def is_wanted(text: str) -> bool:
    return _is_in_split(text, split, test_fraction)

  items = _stream_comparisons(seed, start, side, is_wanted, held_out)
  return list(itertools.islice(items, num))


def prompts(
  seed: int,
  num: int,
  harmless_fraction: float,
  split: str,
  *,
  start: int = 0,
  test_fraction: float = TEST_FRACTION,
  held_out: bool = False,
) -> list[Prompt]:
  """Prompts for RL and evaluation, with ids that are their places.

  Args:
    seed: Of the stream; each split and `held_out` has its own stream.
    num: How many.
    harmless_fraction: Share of red-team prompts.
    split: 'train', 'test' or 'all'.
    start: Place of the first one.
    test_fraction: Share of first human turns that are in the test split.
    held_out: Red-team prompts come from the held-out families.
  """
  _check(seed, num, split)
  if not 0 <= harmless_fraction <= 1 or start < 0:
    raise ValueError(
      f'harmless_fraction={harmless_fraction}, start={start}: need a share '
      'from 0 to 1 and a place from 0'
    )

  def is_wanted(text: str) -> bool:
    return _is_in_split(text, split, test_fraction)

  purpose = f'lab/prompt/{split}' + ('/held-out' if held_out else '')
  made = []
  for index in range(start, start + num):
    rng = draws.stream(seed, purpose, index)
    side = _draw_side(rng, harmless_fraction)
    persona = people.draw_persona(rng)
    num_turns = people.EXCHANGES.draw(rng)
    asker, text, request = _open(rng, side, is_wanted, held_out)
    turns = [Turn('human', text)]
    for _ in range(1, num_turns):
      turns.append(Turn('assistant', persona.reply(rng, request)))
      text, request = asker.ask()
      turns.append(Turn('human', text))
    made.append(Prompt(index, Dialogue(tuple(turns)), side, request.name))
  return made
