"""Helpful and harmless assistants with RLHF in JAX (Bai et al. 2022).

`hh_jax.load(workdir)` opens a finished run. Nothing is imported before it is
asked for, so that command lines answer before jax is loaded.
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
  from hh_jax.stages.loading import load_run as load

__all__ = ['__version__', 'load']

__version__ = '0.1.0'


def __getattr__(name: str) -> object:
  if name == 'load':
    from hh_jax.stages import loading

    return loading.load_run
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
