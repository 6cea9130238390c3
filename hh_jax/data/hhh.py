"""The HHH evaluation: 221 pairs of a better and a worse reply.

1. JSON lines of `{subset, input, choices, labels}`, or the layout of BIG-bench:
   a folder of `<subset>/task.json` with `{examples: [{input, target_scores}]}`.
2. The input is what a human says; where it holds the marker of a turn it is a
   dialogue that began before.
The items must never be trained on.

Reference: Askell et al. 2021, section 2; Bai et al. 2022, section 3.4.1.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl

CATEGORIES = ('helpful', 'honest', 'harmless', 'other')
TASK = 'task.json'


@dataclasses.dataclass(frozen=True)
class Item:
  """A prompt and the two replies to it."""

  category: str
  prompt: dialogue_lib.Dialogue
  better: str
  worse: str


def read_items(path: str | pathlib.Path) -> list[Item]:
  """Reads the items of a file or of a folder.

  Raises:
    ValueError: It is missing, of another format, or holds no item.
  """
  path = pathlib.Path(path)
  found = list(_of_folder(path) if path.is_dir() else _of_rows(path))
  if not found:
    raise ValueError(
      f'{path} holds no item of the HHH evaluation; give its jsonl file or the '
      f'folder with SUBSET/{TASK}'
    )
  return found


def _of_rows(path: pathlib.Path) -> Iterator[Item]:
  for number, row in jsonl.read_rows(path):
    where = f'{path} row {number}'
    category = jsonl.text_field(path, number, row, 'subset')
    text = jsonl.text_field(path, number, row, 'input')
    choices, labels = row.get('choices'), row.get('labels')
    if not (isinstance(choices, list) and isinstance(labels, list)):
      raise ValueError(
        f'{where}: choices and labels must be lists; the row has {sorted(row)}'
      )
    if len(choices) != len(labels):
      raise ValueError(
        f'{where}: {len(choices)} choices and {len(labels)} labels'
      )
    yield _item(where, category, text, dict(zip(choices, labels)))


def _of_folder(folder: pathlib.Path) -> Iterator[Item]:
  for path in sorted(folder.glob(f'*/{TASK}')):
    try:
      examples = json.loads(path.read_text(encoding='utf-8'))['examples']
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(
        f'{path} is no BIG-bench task with examples ({error!r})'
      ) from None
    for number, example in enumerate(examples, start=1):
      where = f'{path} example {number}'
      if not isinstance(example, dict) or not isinstance(
        example.get('target_scores'), dict
      ):
        raise ValueError(f'{where} has no target_scores')
      yield _item(
        where,
        path.parent.name,
        str(example.get('input', '')),
        example['target_scores'],
      )


def _item(
  where: str, category: str, text: str, scores: Mapping[str, float]
) -> Item:
  better = [reply for reply, score in scores.items() if score == 1]
  worse = [reply for reply, score in scores.items() if score == 0]
  if len(better) != 1 or len(worse) != 1:
    raise ValueError(
      f'{where}: {len(better)} better and {len(worse)} worse replies; an item '
      'has one of each'
    )
  if category not in CATEGORIES:
    raise ValueError(f'{where}: subset {category!r} is not one of {CATEGORIES}')
  human = dialogue_lib.MARKERS[dialogue_lib.HUMAN]
  prompt = dialogue_lib.parse_transcript(f'{human} {text}')
  if not prompt.turns or prompt.turns[-1].role != dialogue_lib.HUMAN:
    raise ValueError(f'{where}: the input does not end on a human turn')
  return Item(category, prompt, better[0], worse[0])
