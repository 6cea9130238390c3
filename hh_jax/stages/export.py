"""A finished run as the folder of a public model, which transformers opens.

1. The family is the one whose block has the options of the run's network: a
   run from public weights has that of its start, and the networks of the size
   ladder are GPT-NeoX ones whose MLP biases are zero.
2. Ids are ours: `config.json` and the tokenizer say which token is padding and
   which ends a text.
3. A preference model becomes a model for sequence classification with one
   label, read at the last token that is no padding: end a text with
   end-of-context, id 2. Its score head loses its bias, which moves all scores
   alike.

  python -m hh_jax.stages.export --run=runs/rlhf --out=FOLDER
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import ModelConfig, from_config_dict
from hh_jax.config.stages import SCORED
from hh_jax.data.tokenizer import EOT_ID, PAD_ID, Tokenizer
from hh_jax.models import public_config, public_weights
from hh_jax.models.public_folder import CONFIG
from hh_jax.stages import inputs, loading
from hh_jax.stages.public_source import TOKENIZER, TOKENIZER_CONFIG
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Params

CLASSES = {
  'gpt_neox': 'GPTNeoX',
  'llama': 'Llama',
  'qwen2': 'Qwen2',
  'qwen3': 'Qwen3',
}


def export(workdir: str | pathlib.Path, out: str | pathlib.Path) -> str:
  """Writes a run's network and tokenizer to `out`; returns its one line.

  Raises:
    ValueError: There is no such run, or no family has its options.
    FileExistsError: Something is in `out`.
  """
  described = inputs.describe(workdir, f'--run={workdir}')
  family = public_config.family_of(
    from_config_dict(ModelConfig, described.model)
  )
  folder = pathlib.Path(out)
  if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
    raise FileExistsError(f'--out={out} is not empty; it is not written over')
  run = loading.load_run(workdir)
  is_scored = run.stage in SCORED
  params, moved = _scores_without_bias(run.params, is_scored)
  config = run.model.config
  if is_scored:  # nothing reads its output matrix
    config = dataclasses.replace(config, tied_embedding=True)
  if family == 'gpt_neox' and not config.mlp_bias:
    config, params = _with_mlp_biases(config, params)
  folder.mkdir(parents=True, exist_ok=True)
  public_weights.write(folder, family, config, params)
  run.tokenizer.save(folder / TOKENIZER)
  fields = _tokenizer_fields(run.tokenizer, config.max_positions)
  workdir_lib.write_json(folder / TOKENIZER_CONFIG, fields)
  # Last, because without it the folder is no model.
  workdir_lib.write_json(folder / CONFIG, _fields(family, config, is_scored))
  kind = 'reward model' if is_scored else 'language model'
  return (
    f'{folder}: {family} {kind} of the {run.stage} run {run.workdir}, '
    f'{config.vocab_size:,} tokens'
    + (f'; scores are less by {moved:.3g}' if moved else '')
  )


def _scores_without_bias(
  params: Params, is_scored: bool
) -> tuple[Params, float]:
  """Returns what is exported, and by how much its scores are less."""
  kept = {name: leaf for name, leaf in params.items() if name != 'score_head'}
  if not is_scored:
    return kept, 0.0
  head = params['score_head']
  bias = np.zeros((1,), np.float32)
  score_head = {'kernel': head['kernel'], 'bias': bias}
  return {**kept, 'score_head': score_head}, float(head['bias'][0])


def _with_mlp_biases(
  config: ModelConfig, params: Params
) -> tuple[ModelConfig, Params]:
  """Returns the same network with biases of zero."""
  blocks = dict(params['blocks'])
  for name in ('up', 'down'):
    kernel = blocks[name]['kernel']
    bias = np.zeros((len(kernel), kernel.shape[-1]), np.float32)
    blocks[name] = {'kernel': kernel, 'bias': bias}
  config = dataclasses.replace(config, mlp_bias=True)
  return config, {**params, 'blocks': blocks}


def _fields(
  family: str, config: ModelConfig, is_scored: bool
) -> dict[str, Any]:
  """Returns the contents of `config.json`."""
  task = 'ForSequenceClassification' if is_scored else 'ForCausalLM'
  fields = {
    **public_config.public_fields(config),
    'architectures': [f'{CLASSES[family]}{task}'],
    'bos_token_id': None,
    'eos_token_id': EOT_ID,
    'pad_token_id': PAD_ID,
    'torch_dtype': 'float32',
  }
  return fields | {'num_labels': 1} if is_scored else fields


def _tokenizer_fields(tokenizer: Tokenizer, longest: int) -> dict[str, Any]:
  """Returns the contents of `tokenizer_config.json`."""
  return {
    'tokenizer_class': 'PreTrainedTokenizerFast',
    'eos_token': tokenizer.bpe.id_to_token(EOT_ID),
    'pad_token': tokenizer.bpe.id_to_token(PAD_ID),
    'model_max_length': longest,
    'clean_up_tokenization_spaces': False,
  }


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.stages.export',
    description='Writes a finished run as a folder that transformers opens.',
  )
  parser.add_argument('--run', required=True, help='workdir of a finished run')
  parser.add_argument('--out', required=True, help='folder to write')
  flags = parser.parse_args(argv)
  try:
    line = export(flags.run, flags.out)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(line)
  return 0


if __name__ == '__main__':
  sys.exit(main())
