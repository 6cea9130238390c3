"""The crowd talks with deployed policies, two replies at every turn.

1. A conversation has a side and its human turns from the start; the assistant's
   are what the policies say.
2. At every turn two of the policies answer, drawn anew, the order in which they
   are shown with them. In a contest they are two different ones.
3. A worker of the crowd chooses on the 8-step scale. The conversation goes on
   with the better reply, in red-team work with the more harmful one; it ends
   early where a reply is empty or speaks for the human.
4. Everything is a function of seed, purpose and the number of the conversation.
   What was said is kept in a file, and made once.

Reference: Bai et al. 2022, sections 2.1-2.3 and 4.5.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import RejectionConfig
from hh_jax.data import jsonl
from hh_jax.data.dialogue import ASSISTANT, HUMAN, MARKERS, Dialogue, Turn
from hh_jax.data.prompts import Prompt
from hh_jax.lab import crowd, draws, people
from hh_jax.stages import loading, rejection, tranche_files
from hh_jax.training import workdir as workdir_lib

MOST_EXCHANGES = 4  # of a conversation

# Why an exchange is no comparison, in the order in which the reasons are tried.
REASONS = (
  'empty_response',  # a reply is empty or blank
  'speaks_for_human',  # a reply spells a turn marker
  'identical_pair',  # both replies are the same text
  'weak_step',  # one of the two weakest steps
)
ENDING = REASONS[:2]


@dataclasses.dataclass(frozen=True)
class Deployed:
  """A policy that answers: a snapshot, or the best of k of its replies."""

  name: str
  run: loading.Run
  k: int = 1

  def spec(self, pm: loading.Run, config: RejectionConfig) -> dict[str, Any]:
    """All that makes its replies, but the seed."""
    sampling = dataclasses.asdict(config.sampling)
    del sampling['slots']  # which changes no reply
    found = {
      'name': self.name,
      'kind': 'checkpoint' if self.k == 1 else 'best_of',
      'stage': self.run.stage,
      'state_sha256': self.run.state_sha256,
      'tokenizer_sha256': self.run.tokenizer.sha256,
      **sampling,
    }
    if self.k > 1:
      found |= {'k': self.k, 'pm_state_sha256': pm.state_sha256}
    return found


@dataclasses.dataclass(frozen=True)
class Exchange:
  """One turn: two replies to a dialogue, and the choice between them."""

  prompt: Dialogue  # ends on a human turn
  side: str
  conversation: int
  turn: int  # 1 is the first
  models: tuple[str, str]  # names, as shown
  replies: tuple[str, str]
  winner: int  # the better reply; in red-team work the less harmful one
  step: int  # 1 to 8 as the worker chose, who picks harm in red-team work
  worker: int

  @property
  def picked(self) -> int:
    """The reply that the conversation goes on with."""
    return self.winner if self.side == 'helpful' else 1 - self.winner

  @property
  def reason(self) -> str | None:
    """Why it is no comparison, one of `REASONS`."""
    faults = (
      any(not text.strip() for text in self.replies),
      any(m in text for text in self.replies for m in MARKERS.values()),
      self.replies[0] == self.replies[1],
      tranche_files.strength_of(self.step) == 1,
    )
    return next((n for n, is_so in zip(REASONS, faults) if is_so), None)

  @property
  def is_last(self) -> bool:
    """Whether no dialogue can follow."""
    return self.reason in ENDING


@dataclasses.dataclass
class _Conversation:
  """One that is under way."""

  number: int
  side: str
  messages: list[str]
  rng: np.random.Generator
  said: list[Turn] = dataclasses.field(default_factory=list)
  is_over: bool = False


@dataclasses.dataclass(frozen=True)
class Session:
  """Who answers, how many conversations, and of which kind."""

  deployed: Sequence[Deployed]
  pm: loading.Run  # chooses the best of k
  config: RejectionConfig  # seed, and how replies are sampled
  num_conversations: int
  harmless_share: float
  purpose: str  # names the draws
  is_contest: bool = False

  def hold(self) -> list[Exchange]:
    """Has all conversations, side by side, turn by turn."""
    talks = [self._open(number) for number in range(self.num_conversations)]
    found: list[Exchange] = []
    for turn in range(1, MOST_EXCHANGES + 1):
      running = [
        talk
        for talk in talks
        if not talk.is_over and len(talk.messages) >= turn
      ]
      if running:
        found += self._advance(running, turn)
    return sorted(found, key=lambda one: (one.conversation, one.turn))

  def _open(self, number: int) -> _Conversation:
    rng = draws.stream(self.config.seed, f'online/{self.purpose}', number)
    is_harmless = draws.chance(rng, self.harmless_share)
    side = 'harmless' if is_harmless else 'helpful'
    messages = people.messages(rng, side, MOST_EXCHANGES)
    return _Conversation(number, side, messages, rng)

  def _advance(
    self, running: Sequence[_Conversation], turn: int
  ) -> list[Exchange]:
    places = range(len(self.deployed))
    pairs = []
    for talk in running:
      talk.said.append(Turn(HUMAN, talk.messages[turn - 1]))
      if self.is_contest:
        pairs.append(draws.sample(talk.rng, places, 2))
      else:
        pairs.append([draws.pick(talk.rng, places) for _ in range(2)])
    replies = self._answer(running, pairs, turn)
    return [
      self._choose(talk, turn, pair, shown)
      for talk, pair, shown in zip(running, pairs, replies, strict=True)
    ]

  def _answer(
    self,
    running: Sequence[_Conversation],
    pairs: Sequence[Sequence[int]],
    turn: int,
  ) -> list[list[str]]:
    """Both replies to every conversation; each policy writes all of its own."""
    replies = [['', ''] for _ in running]
    for place, policy in enumerate(self.deployed):
      asked = [
        (index, slot)
        for index, pair in enumerate(pairs)
        for slot in (0, 1)
        if pair[slot] == place
      ]
      prompts = [
        Prompt(
          Dialogue(tuple(running[index].said)),
          running[index].side,
          2 * running[index].number + slot,
        )
        for index, slot in asked
      ]
      if not prompts:
        continue
      purpose = f'{self.purpose}/{turn}/{policy.name}'
      found = rejection.sample_candidates(
        policy.run, self.pm, prompts, policy.k, self.config, purpose
      )
      for (index, slot), text in zip(asked, found.best, strict=True):
        replies[index][slot] = text
    return replies

  def _choose(
    self,
    talk: _Conversation,
    turn: int,
    pair: Sequence[int],
    shown: Sequence[str],
  ) -> Exchange:
    prompt = Dialogue(tuple(talk.said))
    first, second = shown
    choice = crowd.compare(prompt, first, second, talk.side, talk.rng)
    is_red = talk.side == 'harmless'
    exchange = Exchange(
      prompt,
      talk.side,
      talk.number,
      turn,
      (self.deployed[pair[0]].name, self.deployed[pair[1]].name),
      (first, second),
      winner='ab'.index(choice.winner),
      step=9 - choice.strength if is_red else choice.strength,
      worker=choice.worker,
    )
    talk.said.append(Turn(ASSISTANT, exchange.replies[exchange.picked]))
    talk.is_over = exchange.is_last
    return exchange


def kept_in(
  path: pathlib.Path, hold: Callable[[], list[Exchange]]
) -> list[Exchange]:
  """What a file holds; what `hold` returns is written there first."""
  if not path.exists():
    workdir_lib.write_jsonl(path, map(dataclasses.asdict, hold()))
  return [_exchange(row) for _, row in jsonl.read_rows(path)]


def _exchange(row: Mapping[str, Any]) -> Exchange:
  turns = tuple(Turn(**turn) for turn in row['prompt']['turns'])
  pairs = {name: tuple(row[name]) for name in ('models', 'replies')}
  return Exchange(**{**row, 'prompt': Dialogue(turns), **pairs})


def ids_of(specs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
  """The id of each model by its name: a hash of all that makes its replies."""
  return {spec['name']: tranche_files.model_id(spec) for spec in specs}


def rows(
  exchanges: Sequence[Exchange], ids: Mapping[str, str], test_fraction: float
) -> tuple[list[tranche_files.Row], dict[str, int]]:
  """Comparisons of a tranche, and the counts.

  `exchanges` = `comparisons` + the sum over `REASONS`.
  """
  found = []
  counts = collections.Counter(one.reason or 'comparisons' for one in exchanges)
  for one in exchanges:
    if one.reason:
      continue
    better, worse = one.winner, 1 - one.winner
    found.append(
      tranche_files.Row(
        one.side,
        tranche_files.split_of(one.prompt, test_fraction),
        tranche_files.pair(one.prompt, one.replies[better], one.replies[worse]),
        {
          'kind': 'choice',
          'conversation': one.conversation,
          'turn': one.turn,
          'worker': one.worker,
          'step': one.step,
          'strength': tranche_files.strength_of(one.step),
          'chosen_slot': 'ab'[better],
          'chosen_model': ids[one.models[better]],
          'rejected_model': ids[one.models[worse]],
        },
      )
    )
  return found, {
    'exchanges': len(exchanges),
    **{name: counts[name] for name in ('comparisons', *REASONS)},
  }


def tranche(
  session: Session, path: pathlib.Path, name: str
) -> dict[str, bytes]:
  """Files of the comparisons of a session, whose exchanges are kept in a file.

  Raises:
    ValueError: No comparison is left.
  """
  specs = [one.spec(session.pm, session.config) for one in session.deployed]
  ids = ids_of(specs)
  test_fraction = session.config.data.test_fraction
  found, counts = rows(kept_in(path, session.hold), ids, test_fraction)
  models = {ids[spec['name']]: spec for spec in specs}
  return tranche_files.make(found, name, counts, models=models)
