"""Prompts as ids, cut so that a reply fits behind them.

Training, sampling for comparison and scoring all cut the same way, so that
every network sees the prompts the policy was trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from hh_jax.config import DataConfig, SamplingConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.data.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def encode(
  tokenizer: Tokenizer,
  dialogues: Sequence[Dialogue],
  data: DataConfig,
  sampling: SamplingConfig,
  num_before: int = 0,
) -> list[np.ndarray]:
  """Returns prompt ids; those too long lose their left end; see below."""
  return encode_counted(tokenizer, dialogues, data, sampling, num_before)[0]


def encode_counted(
  tokenizer: Tokenizer,
  dialogues: Sequence[Dialogue],
  data: DataConfig,
  sampling: SamplingConfig,
  num_before: int = 0,
) -> tuple[list[np.ndarray], int]:
  """Returns prompt ids, and how many were too long and lost their left end.

  Args:
    tokenizer: Of the network that reads them.
    dialogues: What is asked.
    data: Says how long a row is.
    sampling: Says how long a reply is.
    num_before: Tokens of a context that comes before every prompt.

  Raises:
    ValueError: A row leaves no room for a prompt.
  """
  room = data.row_length - num_before - sampling.max_new_tokens - 1
  if room < 1:
    raise ValueError(
      f'row_length={data.row_length} leaves no room for a prompt between '
      f'{num_before} tokens before it and max_new_tokens='
      f'{sampling.max_new_tokens}'
    )
  ids = [tokenizer.encode_prompt(dialogue) for dialogue in dialogues]
  num_cut = sum(len(prompt) > room for prompt in ids)
  if num_cut:
    log.info('%d of %d prompts cut to %d tokens', num_cut, len(ids), room)
  return [prompt[-room:] for prompt in ids], num_cut
