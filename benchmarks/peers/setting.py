"""What every job of the other side begins and ends with."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Any

import torch
import transformers

from benchmarks import clock, environment

THREADS = 2
FAMILY = 'gpt_neox'
DEVICE = os.environ.get(environment.PEER_DEVICE, 'cpu')  # or 'cuda'
IS_CPU = DEVICE == 'cpu'


def network(
  kind: type, inputs: pathlib.Path, name: str
) -> transformers.PreTrainedModel:
  """Opens the `policy` or the `pm` in float32 with fused attention."""
  torch.set_num_threads(THREADS)
  torch.manual_seed(0)
  torch.set_float32_matmul_precision('highest')  # as our side has them
  return kind.from_pretrained(
    inputs / FAMILY / name, dtype=torch.float32, attn_implementation='sdpa'
  ).to(DEVICE)


def end_never(model: transformers.PreTrainedModel, eot: int) -> None:
  """Makes end-of-text as unlikely as it was likely."""
  with torch.no_grad():
    model.get_input_embeddings().weight[eot] *= -1


def precision(job: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
  """Autocast where the job is in bfloat16."""
  is_low = job['dtype'] == 'bfloat16'
  return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=is_low)


def settings(job: dict[str, Any]) -> str:
  is_low = job['dtype'] == 'bfloat16'
  return 'autocast to bfloat16' if is_low else 'float32'


def synchronise() -> None:
  """Waits for the device, whose work a clock would not see otherwise."""
  if not IS_CPU:
    torch.cuda.synchronize()


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
  return ids.to(DEVICE), mask.to(DEVICE)


def finish(out: pathlib.Path, **result: Any) -> None:
  """Writes what this process measured; memory is that of the device."""
  peak = None if IS_CPU else torch.cuda.max_memory_allocated() / 2**30
  clock.finish(out, peak=peak, **result)
