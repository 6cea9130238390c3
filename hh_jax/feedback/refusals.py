"""What a client is told when something is not done."""

from __future__ import annotations


class RefusedError(Exception):
  """A request that is not carried out, and why; nothing was stored.

  Attributes:
    status: HTTP status, 4xx or 503.
    code: One word for programs.
    message: A sentence for people.
  """

  def __init__(self, status: int, code: str, message: str):
    super().__init__(message)
    self.status = status
    self.code = code
    self.message = message


def not_found() -> RefusedError:
  """What does not exist and what is somebody else's look the same."""
  return RefusedError(404, 'not_found', 'This does not exist.')


def moved_on() -> RefusedError:
  """The page shows what is no longer the case."""
  return RefusedError(
    409,
    'moved_on',
    'This conversation went on in another tab or on another device. Here is '
    'where it stands.',
  )
