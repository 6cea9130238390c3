"""Configuration of the feedback interface: what it asks, and who answers.

A policy is named by `KIND:name=value,...`, for example
`checkpoint:run=runs/rlhf,temperature=0.7`; the kinds are `POLICIES`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hh_jax.config.convert import from_config_dict, nearest, parse_arg
from hh_jax.config.shared import counts, fraction, positive, require

TASKS = ('helpful', 'red_team')  # [§2.2]


@dataclasses.dataclass(frozen=True)
class FeedbackConfig:
  """What workers are asked and how much of it, and what a server bears."""

  max_turns: int = 12  # of a conversation; the released ones have up to 12
  max_message: int = 4_000  # characters of what a person writes
  review_share: float = 0.1  # of conversations followed by a second look at
  # another worker's comparison, from which agreement is computed [open]
  break_after: int = 15  # red-team choices until a break is suggested [open]
  max_reply: int = 8_000  # characters; a longer reply is cut
  reply_seconds: float = 60.0  # a reply that takes longer is cut there
  silence_seconds: float = 30.0  # in the middle of a reply: the model failed
  session_hours: float = 24.0 * 14  # until a cookie must be renewed by a link
  max_body: int = 64 * 1024  # bytes of a request
  requests_per_second: float = 10.0  # of one session, on average
  request_burst: int = 40  # of one session, at once
  failed_joins: int = 20  # of one address a minute; then it has to wait
  overview_seconds: float = 20.0  # age of what the first admin page shows
  max_live: int = 512  # turns answered at once; further ones are told to wait

  def __post_init__(self):
    counts(self)
    fraction(self, 'review_share')
    require(
      self.overview_seconds >= 0,
      f'overview_seconds={self.overview_seconds} is below 0',
    )
    positive(
      self,
      'max_turns',
      'max_message',
      'max_reply',
      'reply_seconds',
      'silence_seconds',
      'session_hours',
      'max_body',
      'requests_per_second',
      'request_burst',
      'failed_joins',
      'max_live',
    )


@dataclasses.dataclass(frozen=True)
class CannedConfig:
  """Replies made of stock sentences, for tests and demonstrations."""

  name: str = 'canned'
  share: float = 1.0  # of the traffic, relative to the others
  version: int = 1  # another one says other things
  delay: float = 0.0  # seconds between two words
  fault: str = ''  # '', 'dead', 'silent', 'endless', 'empty' or 'abrupt'

  def __post_init__(self):
    _check_common(self)
    faults = ('', 'dead', 'silent', 'endless', 'empty', 'abrupt')
    require(self.fault in faults, f'fault={self.fault!r} is not of {faults}')
    require(self.delay >= 0, f'delay={self.delay} is below 0')


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
  """A finished run whose model writes the replies."""

  run: str = ''  # its workdir
  step: int = 0  # of one of its checkpoints; 0: what it ended with
  name: str = ''  # by default that of the workdir
  share: float = 1.0
  max_new_tokens: int = 128  # [§4.1, B.1]
  temperature: float = 1.0
  top_p: float = 1.0  # comparisons are made without top-p [fn 12]
  max_prompt: int = 1024  # tokens; a longer dialogue loses its beginning
  slots: int = 8  # replies written at once

  def __post_init__(self):
    _check_common(self)
    require(bool(self.run), 'run is empty; give the workdir of a finished run')
    positive(
      self, 'max_new_tokens', 'temperature', 'top_p', 'max_prompt', 'slots'
    )
    fraction(self, 'top_p')


@dataclasses.dataclass(frozen=True)
class BestOfConfig(CheckpointConfig):
  """The best of k replies by a preference model: rejection sampling [§2.3]."""

  pm: str = ''  # workdir of the preference model
  k: int = 16  # [§2.3]

  def __post_init__(self):
    super().__post_init__()
    require(bool(self.pm), 'pm is empty; give the workdir of a finished pm run')
    require(self.k >= 2, f'k={self.k}: the best of fewer than two is no choice')


@dataclasses.dataclass(frozen=True)
class HTTPConfig:
  """A server that speaks the OpenAI protocol, such as vLLM."""

  url: str = ''  # up to and including /v1
  model: str = ''  # as that server calls it
  name: str = ''  # by default that of the model
  share: float = 1.0
  api: str = 'chat'  # 'chat', or 'completions' with a transcript as prompt
  max_new_tokens: int = 128
  temperature: float = 1.0
  top_p: float = 1.0
  revision: str = ''  # told apart from other weights of the same name
  key_variable: str = 'OPENAI_API_KEY'  # environment variable of the key

  def __post_init__(self):
    _check_common(self)
    require(
      self.url.startswith(('http://', 'https://')),
      f'url={self.url!r} is no address; give http://HOST:PORT/v1',
    )
    require(bool(self.model), 'model is empty; give the name the server uses')
    require(
      self.api in ('chat', 'completions'),
      f"api={self.api!r} is neither 'chat' nor 'completions'",
    )
    positive(self, 'max_new_tokens', 'top_p')
    fraction(self, 'top_p')
    require(self.temperature >= 0, f'temperature={self.temperature} is below 0')


PolicyConfig = CannedConfig | CheckpointConfig | BestOfConfig | HTTPConfig

POLICIES: dict[str, type[Any]] = {
  'best_of': BestOfConfig,
  'canned': CannedConfig,
  'checkpoint': CheckpointConfig,
  'http': HTTPConfig,
}


def _check_common(config: Any) -> None:
  require(
    0 <= config.share < 1e6, f'share={config.share} is outside [0, 1000000)'
  )


def parse_policy(spec: str) -> PolicyConfig:
  """Returns the config that `KIND:name=value,...` spells.

  Raises:
    ValueError: Kind, name or value is not known.
  """
  kind, _, arg = spec.partition(':')
  if kind not in POLICIES:
    raise ValueError(
      f'--policy={spec}: {kind!r} is no kind of policy'
      f'{nearest(kind, list(POLICIES))}'
    )
  config_type = POLICIES[kind]
  defaults: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(config_type)
  }
  try:
    return from_config_dict(config_type, parse_arg(arg, **defaults), kind)
  except ValueError as error:
    raise ValueError(f'--policy={spec}: {error}') from None
