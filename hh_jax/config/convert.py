"""Dataclasses to locked ConfigDicts and back, and `name=value` arguments.

The only library code that touches ml_collections.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import ml_collections

ConfigT = TypeVar('ConfigT')
Plain = bool | int | float | str


def to_config_dict(config: Any) -> ml_collections.ConfigDict:
  """Returns a locked ConfigDict with the fields of a config dataclass."""
  plain = ml_collections.ConfigDict(dataclasses.asdict(config))
  return plain.lock()


def from_config_dict(
  cls: type[ConfigT], values: Mapping[str, Any], path: str = 'config'
) -> ConfigT:
  """Builds the dataclass `cls` from nested plain values.

  Raises:
    ValueError: A key is unknown (the message names the nearest one), missing,
      of another type, or a value that the dataclass refuses.
  """
  hints = typing.get_type_hints(cls)
  names = list(hints)
  for key in values:
    if key not in names:
      raise ValueError(f'{path}.{key} is unknown{nearest(key, names)}')
  fields = {
    name: _convert(hints[name], values[name], f'{path}.{name}')
    for name in names
    if name in values
  }
  try:
    return cls(**fields)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None


def nearest(key: str, names: list[str]) -> str:
  """Returns '; did you mean X?' or a list of what there is."""
  close = difflib.get_close_matches(key, names, n=1)
  if close:
    return f'; did you mean {close[0]!r}?'
  return f'; known: {", ".join(sorted(names))}'


def parse_arg(arg: str | None, **defaults: Plain) -> dict[str, Any]:
  """Parses the `name=value,name=value` after a config file's colon.

  Args:
    arg: The text after the colon, or None.
    **defaults: Every name that is known, with its default; the type of the
      default is the type of the value.

  Raises:
    ValueError: A name is unknown or a value is not of its default's type.
  """
  values: dict[str, Any] = dict(defaults)
  for item in filter(None, (arg or '').split(',')):
    name, has_value, text = item.partition('=')
    if not has_value:
      raise ValueError(f'argument {item!r} is not of the form name=value')
    if name not in defaults:
      raise ValueError(
        f'argument {name!r} is unknown{nearest(name, list(defaults))}'
      )
    values[name] = _parse(type(defaults[name]), text, name)
  return values


def _parse(kind: type, text: str, name: str) -> Plain:
  if kind is bool:
    if text.lower() not in ('true', 'false', '1', '0'):
      raise ValueError(f'argument {name}={text!r} is neither true nor false')
    return text.lower() in ('true', '1')
  try:
    return kind(text)
  except ValueError:
    raise ValueError(
      f'argument {name}={text!r} is not of type {kind.__name__}'
    ) from None


def _convert(hint: Any, value: Any, path: str) -> Any:
  if isinstance(hint, type) and dataclasses.is_dataclass(hint):
    if dataclasses.is_dataclass(value):
      return value
    if not isinstance(value, Mapping | ml_collections.ConfigDict):
      raise ValueError(f'{path}={value!r} is not a group of fields')
    return from_config_dict(hint, value, path)
  if hint is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if typing.get_origin(hint) is tuple:
    if not isinstance(value, list | tuple):
      raise ValueError(f'{path}={value!r} is not a list of values')
    kind = typing.get_args(hint)[0]
    return tuple(
      _convert(kind, item, f'{path}[{place}]')
      for place, item in enumerate(value)
    )
  if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
    raise ValueError(f'{path}={value!r} is not of type {hint.__name__}')
  return value
