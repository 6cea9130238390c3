"""A tranche of comparisons as files: the official format, and a sidecar.

1. `{side}-{name}/{train,test}.jsonl.gz` are what training reads, split by
   conversation with the rule by which every stage holds out.
2. `sidecar/` says for each row, in the same order, how strong the choice was,
   whose, and which models answered.
3. `export.json` counts what was left out and why, names the models, and holds
   the SHA-256 of every file. The same facts give the same bytes.
4. A folder is read back and counted before it gets its name.

Reference: Bai et al. 2022, sections 2.2-2.3.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data.comparisons import SIDES, Comparison
from hh_jax.data.dialogue import Dialogue, format_transcript
from hh_jax.training import files

SPLITS = ('train', 'test')
ABOUT, SIDECAR = 'export.json', 'sidecar'
_NAME = re.compile(r'[a-z0-9][a-z0-9-]{0,40}')


@dataclasses.dataclass(frozen=True)
class Row:
  """One comparison: its place, its two texts, and its sidecar."""

  side: str
  split: str
  comparison: Mapping[str, Any]
  about: Mapping[str, Any]


def pair(prompt: Dialogue, chosen: str, rejected: str) -> dict[str, Any]:
  """Both transcripts of a comparison."""
  return {
    'chosen': format_transcript(prompt.reply(chosen)),
    'rejected': format_transcript(prompt.reply(rejected)),
  }


def row_of(item: Comparison, test_fraction: float) -> Row:
  """A comparison that is there already, its own weight kept."""
  texts = pair(item.prompt, item.chosen, item.rejected)
  return Row(
    item.side,
    split_of(item.prompt, test_fraction),
    texts if item.weight == 1 else {**texts, 'weight': item.weight},
    {'tranche': item.tranche, 'turn': item.turn},
  )


def split_of(prompt: Dialogue, test_fraction: float) -> str:
  """Part that a conversation belongs to."""
  place = comparisons_lib.hash_unit(prompt.first_human)
  return 'test' if place < test_fraction else 'train'


def model_id(spec: Mapping[str, Any]) -> str:
  """SHA-256 of all that makes a model's replies again."""
  text = json.dumps(spec, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def strength_of(step: int | None) -> int:
  """From 1, the two weakest steps of the scale, to 4; 0 without a choice."""
  return 0 if step is None else max(5 - step, step - 4)


def make(
  rows: Sequence[Row],
  name: str,
  counts: Mapping[str, int],
  **about: Any,
) -> dict[str, bytes]:
  """Returns the files of a tranche by their names.

  Args:
    rows: In the order in which they were chosen.
    name: 'online' makes `helpful-online` and `harmless-online`.
    counts: What was chosen, and what was left out.
    **about: What else `export.json` is to say.

  Raises:
    ValueError: The name is none, or there is no row.
  """
  if not _NAME.fullmatch(name):
    raise ValueError(
      f'tranche={name!r} is no name of small letters, digits and -'
    )
  if not rows:
    raise ValueError(f'there is no comparison to export: {dict(counts)}')
  made: dict[str, bytes] = {}
  used: dict[str, int] = {}
  for side in SIDES:
    for split in SPLITS:
      own = [row for row in rows if (row.side, row.split) == (side, split)]
      if own:
        file = f'{side}-{name}/{split}.jsonl.gz'
        made[file] = compress([row.comparison for row in own])
        sidecar = f'{SIDECAR}/{side}-{name}.{split}.jsonl.gz'
        made[sidecar] = compress([row.about for row in own])
        used[file] = len(own)
  hashes = {
    file: hashlib.sha256(data).hexdigest()
    for file, data in sorted(made.items())
  }
  whole = {'counts': dict(counts), 'rows': used, **about, 'sha256': hashes}
  made[ABOUT] = (json.dumps(whole, indent=2) + '\n').encode()
  return made


def compress(lines: Sequence[Mapping[str, Any]]) -> bytes:
  """JSON lines, compressed to the same bytes whenever and wherever."""
  text = ''.join(
    json.dumps(line, ensure_ascii=False, sort_keys=True) + '\n'
    for line in lines
  )
  buffer = io.BytesIO()
  with gzip.GzipFile(
    filename='', mode='wb', fileobj=buffer, compresslevel=9, mtime=0
  ) as stream:
    stream.write(text.encode('utf-8'))
  return buffer.getvalue()


def write(
  made: Mapping[str, bytes], out: str | pathlib.Path, spelled: str = ''
) -> None:
  """Writes files to a new folder, read back before it gets its name.

  Args:
    made: Files by name, `export.json` among them.
    out: The folder.
    spelled: What to call it where it cannot be.

  Raises:
    ValueError: The folder is there with something else in it, or what was
      written is not what was to be.
  """
  folder, spelled = pathlib.Path(out), spelled or str(out)
  if folder.exists():
    if is_same(made, folder):
      return
    raise ValueError(f'{spelled} is there already; choose another folder')
  files.require_folder_place(str(folder.absolute().parent), spelled)
  partial = folder.with_name(folder.name + files.TEMPORARY)
  if partial.exists():
    shutil.rmtree(partial)
  for name, data in made.items():
    path = partial / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  wanted = sum(json.loads(made[ABOUT])['rows'].values())
  kept = comparisons_lib.read_comparisons(partial).num_kept
  if kept != wanted:
    raise ValueError(
      f'{partial} has {wanted} comparisons, of which training would read {kept}'
    )
  partial.rename(folder)


def is_same(made: Mapping[str, bytes], folder: pathlib.Path) -> bool:
  """Whether a folder holds exactly these files."""
  there = {
    str(path.relative_to(folder))
    for path in folder.rglob('*')
    if path.is_file()
  }
  return there == made.keys() and all(
    (folder / name).read_bytes() == data for name, data in made.items()
  )
