"""The unpacked reference: random trees, and each branch alone in a row.

1. A branch is the path from a root to the end of one segment. Alone in a row
   it is an ordinary causal sequence: columns are positions, each token
   follows the one before it.
2. The log-probability of a target is read in the branch that ends with its
   segment, a score at the end of the branch of a scored segment.
3. Readouts are written out here: whole logits, log-softmax, one dot product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import types
from hh_jax.data import trees
from hh_jax.models import ladder
from hh_jax.models.transformer import Transformer

VOCAB, EOC, FIRST_WORD = 32, 2, 3
ROW, BRANCHES = 32, 64  # the fixed shape of the unpacked rows
ITEMS, CANDIDATES = 12, 4


def words(rng: np.random.Generator, low: int, high: int) -> np.ndarray:
  count = rng.integers(low, high + 1)
  return rng.integers(FIRST_WORD, VOCAB, count).astype(np.int32)


def fork(
  rng: np.random.Generator, num_replies: int, example_id: int
) -> trees.Tree:
  """A prompt with replies, each scored on its own end-of-context."""
  segments = [trees.Segment(words(rng, 1, 6), -1, False)]
  scored = []
  for reply in range(num_replies):
    parent = len(segments)
    ids = words(rng, 1, 7 - num_replies)
    segments.append(trees.Segment(ids, 0, reply == 0))
    segments.append(trees.Segment(np.int32([EOC]), parent, False))
    scored.append(parent + 1)
  weight = float(rng.choice([0.5, 1.0, 3.0]))
  return trees.Tree(tuple(segments), tuple(scored), weight, example_id)


def conversation(
  rng: np.random.Generator, num_turns: int, example_id: int
) -> trees.Tree:
  """Comparisons in which the next turn continues one of the two replies."""
  segments = [trees.Segment(words(rng, 1, 4), -1, False)]
  scored, prompt = [], 0
  for turn in range(num_turns):
    replies = []
    for is_target in (True, False):
      replies.append(len(segments))
      segments.append(trees.Segment(words(rng, 1, 3), prompt, is_target))
      segments.append(trees.Segment(np.int32([EOC]), replies[-1], False))
      scored.append(replies[-1] + 1)
    if turn + 1 < num_turns:
      prompt = len(segments)
      parent = int(rng.choice(replies))
      segments.append(trees.Segment(words(rng, 1, 3), parent, False))
  return trees.Tree(tuple(segments), tuple(scored), 1.0, example_id)


def make(kind: str, seed: int, count: int = 5) -> list[trees.Tree]:
  """Random trees of a kind: comparison, best_of_k, conversation, document."""
  rng = np.random.default_rng(seed)
  if kind == 'document':
    return [trees.document_tree(words(rng, 1, 14), i) for i in range(count)]
  if kind == 'conversation':
    return [conversation(rng, 1 + i % 2, i) for i in range(count)]
  num_replies = {'comparison': 2, 'best_of_k': 4}[kind]
  return [fork(rng, num_replies, i) for i in range(count)]


def path_of(tree: trees.Tree, segment: int) -> list[int]:
  path = []
  while segment >= 0:
    path.insert(0, segment)
    segment = tree.segments[segment].parent
  return path


def branch_rows(
  batch: Sequence[trees.Tree],
) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
  """Every branch as one row of tokens, [BRANCHES, ROW].

  Returns:
    Tokens, and (tree, segment, start of the segment, end) for each row.
  """
  tokens = np.zeros((BRANCHES, ROW), np.int32)
  places = []
  for number, tree in enumerate(batch):
    for segment, own in enumerate(tree.segments):
      path = [tree.segments[s].tokens for s in path_of(tree, segment)]
      ids = np.concatenate(path)
      tokens[len(places), : len(ids)] = ids
      places.append((number, segment, len(ids) - len(own.tokens), len(ids)))
  return tokens, places


def plain_packed(tokens: np.ndarray) -> types.Packed:
  """Rows of one causal sequence each; what follows the end is never seen."""
  rows, columns = tokens.shape
  shape = (rows, columns)
  column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), shape)
  return types.Packed(
    tokens=jnp.asarray(tokens),
    positions=column,
    parent=column - 1,
    enter=jnp.zeros(shape, jnp.int32),
    leave=jnp.ones(shape, jnp.int32),
    example_id=jnp.zeros(shape, jnp.int32),
    loss_mask=jnp.zeros(shape, bool),
    score_index=jnp.zeros((1, 1), jnp.int32),
    pair_weight=jnp.zeros((1,), jnp.float32),
    pair_mask=jnp.zeros((1,), bool),
  )


class Branches(NamedTuple):
  """Every branch of a batch, and where its losses are read."""

  packed: types.Packed  # one branch a row
  targets: np.ndarray  # [BRANCHES, ROW] bool
  spots: np.ndarray  # [ITEMS, CANDIDATES, 2] row and column of each score
  present: np.ndarray  # [ITEMS, CANDIDATES] bool
  weights: np.ndarray  # [ITEMS], 0 for absent items


def unpack(batch: Sequence[trees.Tree], num_candidates: int) -> Branches:
  """Lays every branch of a batch in a row of its own."""
  tokens, places = branch_rows(batch)
  targets = np.zeros(tokens.shape, bool)
  ends = {}
  for row, (number, segment, start, end) in enumerate(places):
    ends[number, segment] = (row, end - 1)
    if batch[number].segments[segment].is_target:
      targets[row, max(start, 1) : end] = True
  spots = np.zeros((ITEMS, CANDIDATES, 2), np.int32)
  present = np.zeros((ITEMS, CANDIDATES), bool)
  weights = np.zeros(ITEMS, np.float32)
  item = 0
  for number, tree in enumerate(batch):
    for first in range(0, len(tree.scored), num_candidates):
      scored = tree.scored[first : first + num_candidates]
      spots[item, : len(scored)] = [ends[number, s] for s in scored]
      present[item, : len(scored)] = True
      weights[item] = tree.weight
      item += 1
  return Branches(plain_packed(tokens), targets, spots, present, weights)


class Readings(NamedTuple):
  """What a batch says, packed or unpacked."""

  scores: jax.Array  # [ITEMS, CANDIDATES], 0 where absent
  pair_loss: jax.Array  # Σ w softplus(r_bad - r_good), the first two candidates
  lm_loss: jax.Array  # -Σ log p of the targets


def read(model: Transformer, params: types.Params, table: Branches) -> Readings:
  """Losses and scores of branches, written out without the library's ops."""
  hidden = ladder.forward(model, params, table.packed).hidden
  head = params['score_head']
  ends = hidden[table.spots[..., 0], table.spots[..., 1]]
  scores = jnp.einsum('pcd,d->pc', ends, head['kernel'][:, 0])
  scores = jnp.where(table.present, scores + head['bias'][0], 0.0)
  gap = scores[:, 1] - scores[:, 0]
  output = params.get('unembed', {'kernel': params['embed']['embedding']})
  logits = jnp.einsum('btd,vd->btv', hidden, output['kernel'][:VOCAB])
  log_probs = jax.nn.log_softmax(logits[:, :-1])
  following = table.packed.tokens[:, 1:, None]
  taken = jnp.take_along_axis(log_probs, following, axis=2)[..., 0]
  return Readings(
    scores,
    (table.weights * jnp.logaddexp(0.0, gap)).sum(),
    -jnp.where(table.targets[:, 1:], taken, 0.0).sum(),
  )
