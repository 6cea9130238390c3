"""Language-model pretraining.

1. Documents of the world; a tokenizer is trained on the first of them unless
   one is given.
2. Documents are packed into rows once; an example is a row.
3. Next-token prediction on `num_steps` batches; a further pass over the rows
   begins where they end.

Reference: Bai et al. 2022, section 3.1; Askell et al. 2021, appendix.
"""

from __future__ import annotations

import pathlib

import jax
import optax

from hh_jax.config import PretrainConfig
from hh_jax.data import corpora, rows
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.losses import lm
from hh_jax.models import ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.stages import inputs, session, worlds
from hh_jax.training import keys, optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum, Metrics, Packed, Params, RunState


def make_pretrain_step(
  model: Transformer, tx: optax.GradientTransformation
) -> state_lib.Step:
  """Builds the language-model update on one batch of packed rows."""

  def loss_fn(params: Params, batch: Packed) -> LossSum:
    hidden = ladder.forward(model, params, batch).hidden
    log_probs = readout.token_log_probs(model, params, hidden, batch)
    return lm.next_token_loss(log_probs, batch.loss_mask)

  def step(state: RunState, batch: Packed) -> tuple[RunState, Metrics]:
    return state_lib.loss_step(loss_fn, state, batch, tx)

  return step


def run(config: PretrainConfig, workdir: str | pathlib.Path) -> str:
  """Pretrains a language model in `workdir`; returns its one-line result."""
  inputs.require(config)
  claimed = session.begin('pretrain', config, workdir, {})
  if claimed.result:
    return claimed.result['line']
  documents = worlds.documents(config.data, config.seed)
  tokenizer = open_tokenizer(config, documents)
  packed_rows = rows.pack_documents(
    [corpora.encode_document(tokenizer, document) for document in documents],
    config.data.row_length,
    seed=config.seed,
    pad=tokenizer.pad,
  )
  model = ladder.build(config.model)
  tx = optimizer.make_optimizer(
    config.optimizer, config.model, config.num_steps
  )
  step = jax.jit(make_pretrain_step(model, tx), donate_argnums=0)
  state = claimed.train(
    init=lambda: state_lib.init_state(
      ladder.init(model, keys.fold(config.seed, 'pretrain', 'init')), tx
    ),
    advance=lambda state, t: step(
      state,
      packed_rows.batch(config.seed, t, config.data.batch_size),
    ),
    total_steps=config.num_steps,
  )
  loss = session.last_metric(claimed, 'lm/loss')
  return claimed.finish(
    f'pretrain: {packed_rows.num_rows} rows, '
    f'{packed_rows.num_tokens:,} tokens, loss {loss:.3f} nats a token',
    {'loss': loss, 'num_documents': len(documents), **packed_rows.counts},
    state,
    model,
    tokenizer,
  )


def open_tokenizer(
  config: PretrainConfig, documents: list[corpora.Document]
) -> Tokenizer:
  """Loads the named tokenizer or trains one on the first documents.

  Raises:
    ValueError: It has more tokens than the model has embeddings.
  """
  if config.tokenizer:
    tokenizer = Tokenizer.load(config.tokenizer)
  else:
    texts = corpora.texts(documents[: config.tokenizer_documents])
    tokenizer = Tokenizer.train(texts, config.model.vocab_size)
  if tokenizer.vocab_size > config.model.vocab_size:
    raise ValueError(
      f'the tokenizer has {tokenizer.vocab_size} tokens and '
      f'model.vocab_size={config.model.vocab_size} embeddings; raise it'
    )
  return tokenizer
