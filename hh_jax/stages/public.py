"""Public weights: the folder of a GPT-NeoX, Llama or Qwen model as a run.

1. The folder is opened and must fit together before a weight is read.
2. Weights are read into our tree, one tensor at a time, in float32.
3. Rows of the vocabulary move so that padding, end of text and end of context
   have our ids (`data.vocabulary`), and the tokenizer with them.
4. A public reward model is read at the end of a text. Ours is read at the end
   of context, whose row is therefore that of the end of text.
5. They are saved as a finished run of no steps: `public`, which stages accept
   where they accept `pretrain`, or `public_pm`, where they accept `pm`.

Deviation: no token opens a text here, also where the public model had one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import time

import jax.numpy as jnp
import numpy as np

from hh_jax.config import LoopConfig, ModelConfig, PublicConfig
from hh_jax.data import jsonl
from hh_jax.data.tokenizer import EOC, EOC_ID, EOT_ID
from hh_jax.models import ladder, public_layout, public_weights, sizes
from hh_jax.stages import public_source, session
from hh_jax.stages.public_source import Source
from hh_jax.training import checkpoint
from hh_jax.training import state as state_lib
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Params, RunState


def run(config: PublicConfig, workdir: str | pathlib.Path) -> str:
  """Makes a public model a finished run; returns its one-line result."""
  source = public_source.open_source(config)
  folder = source.folder
  public_layout.require_fit(folder.family, folder.config, folder.shapes)
  claimed = _begin(config, source, workdir)
  if claimed.result:
    return claimed.result['line']
  model_config = _model_config(config, source)
  params = _read(source, model_config)
  # Parameters stay NumPy arrays: on a device they would be a second copy.
  state = RunState(
    step=jnp.zeros((), jnp.int32), params=params, opt_state={}, stats={}
  )
  checkpoint.save(
    claimed.workdir, state, step=0, fingerprint=claimed.fingerprint
  )
  vocabulary = source.vocabulary
  leaves = state_lib.leaves_by_path(params)
  return claimed.finish(
    _describe(source, model_config),
    {
      'family': folder.family,
      'num_params': sum(leaf.size for leaf in leaves.values()),
      'end_of_text': source.end_of_text,
      'said_by': source.said_by,
      'moved_ids': {str(old): new for old, new in vocabulary.moved.items()},
      'new_tokens': vocabulary.fresh,
    },
    state,
    ladder.build(model_config),
    vocabulary.tokenizer,
  )


def _begin(
  config: PublicConfig, source: Source, workdir: str | pathlib.Path
) -> session.Session:
  """Claims the workdir, unless it holds another run."""
  # Asked twice: before the files are hashed, and by what they hold.
  workdir_lib.check(workdir, {'stage': 'public'}, is_whole=False)
  fields = dataclasses.asdict(config)
  fingerprint = {
    'stage': 'public',
    **fields,
    'source': _identity(source),
    'end_of_text': source.end_of_text,
  }
  claimed = workdir_lib.prepare(workdir, fields, fingerprint)
  return session.Session(
    stage='public_pm' if source.folder.is_scored else 'public',
    workdir=claimed,
    loop=LoopConfig(),
    fingerprint=fingerprint,
    result=workdir_lib.read_done(claimed),
    started=time.time() - workdir_lib.seconds_before(claimed),
  )


def _identity(source: Source) -> str:
  """Hashes names and contents of the files: the folder may be moved."""
  folder = source.folder
  named = (public_source.CONFIG, public_source.TOKENIZER)
  files = {*folder.files.values(), *(folder.path / name for name in named)}
  listing = [f'{path.name}:{jsonl.sha256_of(path)}' for path in sorted(files)]
  digest = hashlib.sha256('\n'.join(listing).encode()).hexdigest()
  return f'{len(files)} files, {digest[:16]}'


def _model_config(config: PublicConfig, source: Source) -> ModelConfig:
  """The network as the stages after this one build it."""
  public = source.folder.config
  is_shallow = public.num_layers <= sizes.MAX_UNROLLED_LAYERS
  return dataclasses.replace(
    public,
    vocab_size=source.vocabulary.size,
    vocab_multiple=config.vocab_multiple,
    compute_dtype=config.compute_dtype,
    remat=config.remat,
    scan_unroll=public.num_layers if is_shallow else 1,
  )


def _read(source: Source, config: ModelConfig) -> Params:
  """Reads the weights and moves the rows of the vocabulary.

  Raises:
    ValueError: They hold a number that is not finite.
  """
  folder = source.folder
  # The rows that are to be, of which the public model fills the first.
  padded = dataclasses.replace(
    folder.config, vocab_multiple=config.padded_vocab
  )
  params = public_weights.load(
    folder.family, padded, folder.shapes, folder.tensor
  )
  for path, leaf in state_lib.leaves_by_path(params).items():
    if not np.isfinite(leaf).all():
      raise ValueError(f'{folder.path}: weights of {path} are not finite')
  vocabulary = source.vocabulary
  embedding = params['embed']['embedding']
  vocabulary.move_rows(embedding)
  if folder.is_scored and EOC in vocabulary.fresh:
    embedding[EOC_ID] = embedding[EOT_ID]
  if 'unembed' in params:
    vocabulary.move_rows(params['unembed']['kernel'])
  return params


def _describe(source: Source, config: ModelConfig) -> str:
  """Says what the model is and which tokens are the special ones."""
  folder, vocabulary = source.folder, source.vocabulary
  new = ' and '.join(vocabulary.fresh) or 'none'
  kind = 'reward model' if folder.is_scored else 'language model'
  return (
    f'public: {folder.family} {kind}, {config.num_layers} layers of '
    f'{config.model_dim}, {config.vocab_size:,} tokens; end of text is '
    f'{source.end_of_text} (was id {source.end_id}, by {source.said_by}), '
    f'padding {source.padding or "a new token"}, new tokens: {new}'
  )
