"""What every job of the other side begins with."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import torch
import transformers

THREADS = 2
FAMILY = 'gpt_neox'


def network(
  kind: type, inputs: pathlib.Path, name: str
) -> transformers.PreTrainedModel:
  """Opens the `policy` or the `pm` in float32 with fused attention."""
  torch.set_num_threads(THREADS)
  torch.manual_seed(0)
  return kind.from_pretrained(
    inputs / FAMILY / name, dtype=torch.float32, attn_implementation='sdpa'
  )


def precision(job: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
  """Autocast where the job is in bfloat16."""
  is_low = job['dtype'] == 'bfloat16'
  return torch.autocast('cpu', dtype=torch.bfloat16, enabled=is_low)


def settings(job: dict[str, Any]) -> str:
  is_low = job['dtype'] == 'bfloat16'
  return 'autocast to bfloat16' if is_low else 'float32'


def padded(
  rows: list[list[int]], side: str, pad: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
  """Ids and attention mask of rows of any lengths."""
  width = max(map(len, rows))
  ids = torch.full((len(rows), width), pad)
  mask = torch.zeros((len(rows), width), dtype=torch.long)
  for number, row in enumerate(rows):
    columns = slice(len(row)) if side == 'right' else slice(-len(row), None)
    ids[number, columns] = torch.tensor(row)
    mask[number, columns] = 1
  return ids, mask
