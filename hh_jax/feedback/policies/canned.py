"""Stock sentences, chosen by seed: the policy of tests and load tests.

It can also fail in the ways that real backends fail.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

from hh_jax.config.feedback import CannedConfig
from hh_jax.data.dialogue import Dialogue, format_transcript
from hh_jax.feedback.policies.protocol import Piece, PolicyError
from hh_jax.lab import draws

_OPENERS = ('Good question.', 'Let me think.', 'Happy to help.', 'Sure.')
_ADVICE = (
  'start with the smallest step and see how it goes',
  'ask someone who has done this before',
  'write down what you know and what you do not',
  'try it once on something that does not matter',
  'take the option that you can still undo',
  'look at how others have solved it',
)
_NUM_TIPS = 10_000_000
_ENDINGS = ('Does that help?', 'Tell me how it goes.', 'What do you think?')


class CannedPolicy:
  """Replies that depend on the dialogue and the seed alone."""

  can_stream = True

  def __init__(self, config: CannedConfig):
    self.name = config.name
    self.share = config.share
    self.spec: Mapping[str, object] = {
      'kind': 'canned',
      'version': config.version,
      'fault': config.fault,
    }
    self._config = config

  def text_of(self, dialogue: Dialogue, reply: int, seed: int) -> str:
    """Returns reply number `reply`, whole."""
    purpose = f'canned/{self._config.version}/{format_transcript(dialogue)}'
    rng = draws.stream(seed, purpose, reply)
    advice = draws.sample(rng, _ADVICE, 1 + draws.below(rng, 3))
    body = '. '.join(text.capitalize() for text in advice)
    opener, ending = draws.pick(rng, _OPENERS), draws.pick(rng, _ENDINGS)
    number = draws.below(rng, _NUM_TIPS)  # hardly two replies are equal
    return f'{opener} {body}. See tip {number:,}. {ending}'

  async def generate(
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Yields the replies word by word, in turn."""
    fault = self._config.fault
    if fault == 'dead':
      raise PolicyError('this canned policy is dead')
    if fault == 'silent':
      await asyncio.Event().wait()
    if fault == 'empty':
      for reply in replies:
        yield Piece(reply, '', 'stop')
      return
    streams = [self._pieces(dialogue, reply, seed, fault) for reply in replies]
    for row in itertools.zip_longest(*streams):
      if self._config.delay or fault:
        await asyncio.sleep(self._config.delay)
      for piece in filter(None, row):
        yield piece

  def _pieces(
    self, dialogue: Dialogue, reply: int, seed: int, fault: str
  ) -> Iterator[Piece]:
    text = self.text_of(dialogue, reply, seed).split(' ')
    words = itertools.cycle(text) if fault == 'endless' else iter(text)
    for place, word in enumerate(words):
      if fault == 'abrupt' and place == 3:
        raise PolicyError('this canned policy broke off')
      yield Piece(reply, word if place == 0 else f' {word}')
    yield Piece(reply, '', 'stop')

  async def close(self) -> None:
    """Holds nothing."""
