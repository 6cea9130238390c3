"""The vocabulary of a public model, with our special tokens at our ids.

1. Compiled loops compare with the ids of padding, end of text and end of
   context (`data.tokenizer`), and public vocabularies have these elsewhere.
2. Each comes to its id by a swap, so that at most three pairs of tokens move
   and all others keep their numbers.
3. A token that the vocabulary lacks takes a row that none has, else a new one.
   Its row is the mean of the rows of all tokens: its logit is then the mean of
   theirs, and so, the exponential being convex, its probability is at most one
   in as many, whatever the network has read and whether or not the embedding
   is the output matrix, too.
4. The tokenizer is rewritten by the same permutation, so that text has the ids
   it had, permuted. What would put tokens around a text is left out, as no
   stage does.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tokenizers

from hh_jax.data import tokenizer as tokenizer_lib
from hh_jax.data.tokenizer import EOC, PAD, Tokenizer

# A token that is found as it is spelt, spaces and all.
_PLAIN = {
  'single_word': False,
  'lstrip': False,
  'rstrip': False,
  'normalized': False,
}


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """A permuted vocabulary and its tokenizer."""

  tokenizer: Tokenizer
  order: np.ndarray  # [V] int64, the public row that stands at each of ours
  known: np.ndarray  # [V] bool, rows of tokens that the model was trained with
  fresh: dict[str, int]  # tokens whose rows are new, and our ids of them

  @property
  def size(self) -> int:
    """Rows with a meaning or a number in the public model (V)."""
    return len(self.order)

  @property
  def moved(self) -> dict[int, int]:
    """Public id to ours, of what does not stand where it stood."""
    ours = np.flatnonzero(self.order != np.arange(self.size))
    return {int(self.order[number]): int(number) for number in ours}

  def move_rows(self, matrix: np.ndarray) -> None:
    """Permutes the rows [>= V, D] of a public matrix and fills in new ones.

    In place, because an embedding may be much of a model.
    """
    ours = np.flatnonzero(self.order != np.arange(self.size))
    matrix[ours] = matrix[self.order[ours]]
    share = self.known.astype(np.float32) / self.known.sum()
    matrix[list(self.fresh.values())] = share @ matrix[: self.size]


@dataclasses.dataclass(frozen=True)
class Public:
  """A public tokenizer as the library reads it."""

  fields: dict[str, Any]  # of tokenizer.json
  ids: dict[str, int]  # of all tokens
  special: dict[str, int]  # of those that stand for no text
  unknown: str | None  # what stands for text that has no tokens


def read(text: str) -> Public:
  """Returns what a `tokenizer.json` holds.

  Raises:
    ValueError: It cannot be read, or is no byte-pair encoding.
  """
  try:
    fields = json.loads(text)
    kind = fields['model'].get('type', 'BPE')
    if kind != 'BPE':
      raise ValueError(f'its model is {kind}; only BPE is supported')
    bpe = tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # the library raises bare Exception
    raise ValueError(f'it cannot be used ({error})') from None
  special = tokenizer_lib.special_tokens(bpe)
  return Public(
    fields=fields,
    ids=bpe.get_vocab(with_added_tokens=True),
    special={name: number for number, name in special.items()},
    unknown=fields['model'].get('unk_token'),
  )


def relabel(
  public: Public, num_rows: int, end_of_text: str, padding: str = ''
) -> Vocabulary:
  """Moves special tokens to our ids.

  Args:
    public: The tokenizer.
    num_rows: Of the model's embedding, at least one for every token.
    end_of_text: The token that ends a reply.
    padding: The token of no meaning; '': there is none.
  """
  roles = (padding or PAD, end_of_text, EOC)
  old = dict(public.ids)
  unused = _unused_rows(old, num_rows)
  fresh = [name for name in roles if name not in old]
  old |= {name: next(unused) for name in fresh}
  order = np.arange(max(num_rows, *(old[name] + 1 for name in roles)))
  for place, name in enumerate(roles):
    here = int(np.flatnonzero(order == old[name])[0])
    order[[place, here]] = order[[here, place]]
  new_of_old = np.argsort(order)
  ids = {name: int(new_of_old[number]) for name, number in old.items()}
  known = np.zeros(len(order), bool)
  known[[number for name, number in ids.items() if name not in fresh]] = True
  fields = _rewrite(public.fields, ids, roles)
  return Vocabulary(
    tokenizer=Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(fields))),
    order=order,
    known=known,
    fresh={name: ids[name] for name in fresh},
  )


def _unused_rows(ids: Mapping[str, int], num_rows: int) -> Iterator[int]:
  """Yields rows that no token has: first such as only fill the matrix up."""
  taken = set(ids.values())
  spare = (row for row in range(num_rows) if row not in taken)
  return itertools.chain(spare, itertools.count(num_rows))


def _rewrite(
  fields: Mapping[str, Any], ids: Mapping[str, int], roles: tuple[str, ...]
) -> dict[str, Any]:
  """Returns the contents of tokenizer.json with other ids.

  Added tokens are put among those of the model, too: the library counts up
  the ids of any that are not there, whatever the file says.
  """
  added = {entry['content']: entry for entry in fields['added_tokens'] or ()}
  for name in roles:
    entry = added.get(name, {'content': name, **_PLAIN})
    added[name] = {**entry, 'special': True}
  by_id = sorted(ids, key=lambda name: ids[name])
  return {
    **fields,
    'padding': None,
    'truncation': None,
    'added_tokens': [
      {**added[name], 'id': ids[name]} for name in by_id if name in added
    ],
    'model': {
      **fields['model'],
      'vocab': {name: ids[name] for name in by_id},
    },
    'post_processor': None,
  }
