"""Context distillation: the HHH prompt becomes part of the weights.

1. Sequences: half pretraining text after a fresh human marker, half questions
   with their best answer.
2. The teacher reads prompt + sequence and gives, at every position after the
   prompt, its top-50 log-probabilities; all other mass is one more category.
   The prompt is shared: one tree a batch, a branch a sequence.
3. The student reads the sequence alone and minimises the KL divergence over
   the 51 categories.
4. What the prompt does to the teacher, and how much of it the student keeps,
   is measured on held-out prompts (by the gold judge, where there is one).

Reference: Bai et al. 2022, section A.1 and figure 30.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hh_jax.config import DistillConfig
from hh_jax.data import corpora, order, packing, trees
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.losses import distillation
from hh_jax.models import heads, ladder
from hh_jax.models.transformer import Transformer
from hh_jax.ops import arrays, logprobs
from hh_jax.stages import inputs, loading, prompt_effect, session, worlds
from hh_jax.training import distributed, optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum, Metrics, Packed, Params, RunState

log = logging.getLogger(__name__)


class DistillBatch(flax.struct.PyTreeNode):
  """The same sequences with and without the prompt.

  An index is `row * T + column` of the token before a target, in the batch it
  belongs to; both tables list the same targets in the same order.
  """

  teacher: Packed
  student: Packed
  teacher_index: jax.Array  # [E, G] int32
  student_index: jax.Array  # [E, G] int32
  mask: jax.Array  # [E, G] bool


def make_distill_step(
  student: Transformer,
  teacher: Transformer,
  tx: optax.GradientTransformation,
  top_k: int,
) -> Callable[[RunState, Params, DistillBatch], tuple[RunState, Metrics]]:
  """Builds the distillation update; `frozen` is the teacher's parameters."""

  def step(
    state: RunState, frozen: Params, batch: DistillBatch
  ) -> tuple[RunState, Metrics]:
    teacher_log_probs, indices = teacher_targets(teacher, frozen, batch, top_k)

    def loss_fn(params: Params, batch: DistillBatch) -> LossSum:
      hidden = ladder.forward(student, params, batch.student).hidden
      student_log_probs = logprobs.log_probs_at(
        arrays.gather_positions(hidden, batch.student_index.reshape(-1)),
        heads.unembed_matrix(params),
        indices,
        num_valid=student.config.vocab_size,
        compute_dtype=jnp.dtype(student.config.compute_dtype),
      )
      return distillation.bucketed_kl(
        teacher_log_probs, student_log_probs, batch.mask.reshape(-1)
      )

    return state_lib.loss_step(loss_fn, state, batch, tx)

  return step


def teacher_targets(
  teacher: Transformer, params: Params, batch: DistillBatch, top_k: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the teacher's top-k log-probs and their ids, each [E * G, k]."""
  hidden = ladder.forward(teacher, params, batch.teacher).hidden
  return logprobs.top_k_log_probs(
    arrays.gather_positions(hidden, batch.teacher_index.reshape(-1)),
    heads.unembed_matrix(params),
    top_k,
    num_valid=teacher.config.vocab_size,
    compute_dtype=jnp.dtype(teacher.config.compute_dtype),
  )


def make_batch(
  sequences: Sequence[np.ndarray],
  prompt: np.ndarray,
  row_length: int,
  num_targets: int,
  batch_size: int,
) -> DistillBatch:
  """Packs sequences with the prompt (teacher) and without it (student).

  Args:
    sequences: Ids, each of at least two tokens.
    prompt: Ids of the HHH prompt.
    row_length: Tokens of a row; prompt and one sequence must fit.
    num_targets: G, no less than the longest sequence less one.
    batch_size: E; missing sequences are masked.
  """
  root = trees.Segment(prompt, -1, False)
  branches = tuple(trees.Segment(ids, 0, True) for ids in sequences)
  together = packing.pack(
    [trees.Tree((root, *branches), (), 1.0, 0)], row_length, batch_size=1
  )
  alone = packing.pack(
    [
      trees.Tree((trees.Segment(ids, -1, True),), (), 1.0, example)
      for example, ids in enumerate(sequences)
    ],
    row_length,
    batch_size=batch_size,
  )
  starts = [together.placements[0][i + 1] for i in range(len(sequences))]
  own_starts = [placed[0] for placed in alone.placements]
  shape = (batch_size, num_targets)
  mask = np.zeros(shape, bool)
  teacher_index = np.zeros(shape, np.int32)
  student_index = np.zeros(shape, np.int32)
  for example, ids in enumerate(sequences):
    steps = np.arange(len(ids) - 1)
    mask[example, : len(steps)] = True
    for table, (row, column) in (
      (teacher_index, starts[example]),
      (student_index, own_starts[example]),
    ):
      table[example, : len(steps)] = row * row_length + column + steps
  return DistillBatch(
    teacher=together.packed,
    student=alone.packed,
    teacher_index=jnp.asarray(teacher_index),
    student_index=jnp.asarray(student_index),
    mask=jnp.asarray(mask),
  )


def run(config: DistillConfig, workdir: str | pathlib.Path) -> str:
  """Distils the HHH prompt into the student; returns its one-line result."""
  inputs.require(config)
  student, teacher = open_models(config)
  claimed = session.begin(
    'distill',
    config,
    workdir,
    {'init_from': student, 'teacher_from': teacher},
  )
  if claimed.result:
    return claimed.result['line']
  prompt = prompt_ids(config, student.tokenizer)
  # Measured before anything is distilled: without an effect there is nothing
  # to keep.
  plain = prompt_effect.grade(config, teacher, teacher.params)
  shown = prompt_effect.grade(config, teacher, teacher.params, prompt)
  prompted = prompt_effect.gain(shown, plain)
  log.info('%s', prompt_effect.describe('the prompt', prompted))
  before = plain  # a student gains over itself, not over its teacher
  if config.teacher_from:
    before = prompt_effect.grade(config, student, student.params)
  sequences, counts = read_sequences(
    config, student.tokenizer, len(prompt), teacher.context
  )
  tx = optimizer.make_optimizer(
    config.optimizer, student.model.config, config.num_steps
  )
  step = jax.jit(
    make_distill_step(student.model, teacher.model, tx, config.top_k),
    donate_argnums=0,
  )
  num_targets = max(len(ids) for ids in sequences) - 1

  def advance(state: RunState, t: int) -> tuple[RunState, Metrics]:
    ids = order.batch_ids(
      config.seed, 'distill', t, len(sequences), config.data.batch_size
    )
    batch = make_batch(
      [sequences[i] for i in ids],
      prompt,
      config.data.row_length,
      num_targets,
      config.data.batch_size,
    )
    return step(state, teacher.params, batch)

  state = claimed.train(
    init=lambda: state_lib.init_state(student.params, tx),
    advance=advance,
    total_steps=config.num_steps,
  )
  after = prompt_effect.grade(config, student, state.params)
  kept = prompt_effect.gain(after, before)
  if plain and shown and before and after and distributed.is_first():
    prompt_effect.Gains(
      sides=plain.sides,
      conversations=plain.conversations,
      prompted=shown.gold - plain.gold,
      student=after.gold - before.gold,
    ).write(claimed.workdir)
  loss = session.last_metric(claimed, 'distill/kl')
  return claimed.finish(
    f'distill: KL {loss:.4f} nats a token; '
    f'{prompt_effect.describe("the student", kept)}',
    {
      'kl': loss,
      'prompt_tokens': len(prompt),
      'num_sequences': len(sequences),
      'left_out': counts,
      'prompt_effect': {
        side: {'prompted': prompted[side], 'student': kept[side]}
        for side in kept
      },
    },
    state,
    student.model,
    student.tokenizer,
  )


def open_models(config: DistillConfig) -> tuple[loading.Run, loading.Run]:
  """Opens student and teacher, which may be one run."""
  student = loading.load_run(config.init_from)
  teacher = student
  if config.teacher_from:
    teacher = loading.load_run(config.teacher_from)
  if config.top_k > teacher.tokenizer.vocab_size:
    raise ValueError(
      f'top_k={config.top_k} is more than the vocabulary of '
      f'{teacher.tokenizer.vocab_size}; choose fewer'
    )
  return student, teacher


def prompt_ids(config: DistillConfig, tokenizer: Tokenizer) -> np.ndarray:
  """Returns the ids of the HHH prompt, each conversation closed by a break."""
  conversations = worlds.hhh_conversations(config.data)
  count = config.num_prompt_conversations or len(conversations)
  return corpora.encode_context(tokenizer, conversations[:count])


def read_sequences(
  config: DistillConfig,
  tokenizer: Tokenizer,
  prompt_length: int,
  context: int,
) -> tuple[list[np.ndarray], dict[str, int]]:
  """Returns the sequences of one run: pieces of text, then answers.

  Where there are too few of one kind the share that there is, is said.

  Args:
    config: Of the stage.
    tokenizer: Of student and teacher.
    prompt_length: Tokens of the HHH prompt.
    context: Tokens of the longest path the teacher was trained on; prompt and
      sequence stay within it, since what it says beyond is no target.

  Returns:
    The ids of each sequence, and how many were cut or were too short.

  Raises:
    ValueError: The prompt leaves no room for a sequence.
  """
  data = config.data
  room = min(data.row_length, context) - prompt_length
  if room < 2:
    raise ValueError(
      f'the prompt has {prompt_length} tokens, which leaves {max(room, 0)} for '
      f'a sequence: row_length={data.row_length}, and the teacher was trained '
      f'on {context} tokens; raise the smaller one, or lower '
      'num_prompt_conversations'
    )
  longest = min(data.longest_path, room)
  total = config.num_steps * data.batch_size
  num_text = round(total * config.text_fraction)
  marker = tokenizer.encode_turn_marker('human')
  texts: list[np.ndarray] = []
  for document in worlds.documents(data, config.seed):
    if len(texts) == num_text:
      break
    ids = corpora.encode_document(tokenizer, document)
    texts.append(corpora.after_marker(ids, marker))
  answers = [
    tokenizer.encode_dialogue(dialogue)
    for dialogue in worlds.best_answers(data, config.seed, total - num_text)
  ]
  if len(texts) + len(answers) < total:
    log.info(
      'distill: %d texts and %d answers for %d sequences; they come again',
      len(texts),
      len(answers),
      total,
    )
  found = [*texts, *answers]
  counts = {
    'cut': sum(len(ids) > longest for ids in found),
    'too_short': sum(len(ids) < 2 for ids in found),
  }
  return [ids[:longest] for ids in found if len(ids) > 1], counts
