"""Small made-up data that several tests share."""

import functools
import gzip
import json
import pathlib

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import tokenizer as tokenizer_lib

TEXTS = (
  '\n\nHuman: How do I boil an egg?\n\nAssistant: Put it in boiling water.',
  '\n\nHuman: What is the time?\n\nAssistant: It is noon, I think.',
  'plain text about eggs, water, time and the moon',
) * 4


@functools.lru_cache
def tokenizer() -> tokenizer_lib.Tokenizer:
  return tokenizer_lib.Tokenizer.train(TEXTS, 320)


@functools.lru_cache
def official(folder: pathlib.Path) -> comparisons_lib.ComparisonSet:
  """The official harmless-base test file."""
  path = folder / 'hh_rlhf' / 'harmless_base.test.jsonl.gz'
  return comparisons_lib.read_comparisons(path)


dialogue = dialogue_lib.Dialogue.alternating


def comparison(*texts: str, chosen='Yes.', rejected='No way.', **fields):
  prompt = dialogue(*texts)
  values = {'side': 'helpful', 'tranche': 'made-up', **fields}
  return comparisons_lib.Comparison(
    prompt, chosen, rejected, turn=prompt.num_human, **values
  )


def row(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
  head = f'\n\nHuman: {prompt}\n\nAssistant:'
  return {'chosen': f'{head} {chosen}', 'rejected': f'{head} {rejected}'}


def write(path: pathlib.Path, rows: list[dict]) -> pathlib.Path:
  """Writes rows as jsonl, gzip if the name says so."""
  path.parent.mkdir(parents=True, exist_ok=True)
  data = ''.join(json.dumps(item) + '\n' for item in rows).encode()
  path.write_bytes(gzip.compress(data) if path.suffix == '.gz' else data)
  return path
