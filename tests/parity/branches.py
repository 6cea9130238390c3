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

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import types
from hh_jax.data import trees
from hh_jax.models import ladder
from tests.parity import oracles

VOCAB, EOC, FIRST_WORD = 32, 2, 3
ROW, BRANCHES = 32, 96  # the fixed shape of the unpacked rows


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
    segments.append(trees.Segment(words(rng, 1, 5), 0, reply == 0))
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
  for _ in range(num_turns):
    replies = []
    for is_target in (True, False):
      replies.append(len(segments))
      segments.append(trees.Segment(words(rng, 1, 3), prompt, is_target))
      segments.append(trees.Segment(np.int32([EOC]), replies[-1], False))
      scored.append(replies[-1] + 1)
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
    return [conversation(rng, 1 + i % 3, i) for i in range(count)]
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


class Unpacked:
  """What the branches of a batch say, as functions of parameters."""

  def __init__(self, model, batch: Sequence[trees.Tree], num_candidates: int):
    self.model, self.batch = model, batch
    tokens, self.places = branch_rows(batch)
    self.packed = plain_packed(tokens)
    self.num_candidates = num_candidates
    self.weights = np.float32(
      [
        tree.weight
        for tree in batch
        for _ in range(len(tree.scored) // num_candidates)
      ]
    )
    self.targets = np.zeros(tokens.shape, bool)
    for row, (number, segment, start, end) in enumerate(self.places):
      if batch[number].segments[segment].is_target:
        self.targets[row, max(start, 1) : end] = True

  def scores(self, params) -> jax.Array:
    """[items, C]: hidden state at the end of each branch times the head."""
    rows = {
      (n, s): (r, end - 1) for r, (n, s, _, end) in enumerate(self.places)
    }
    spots = [
      rows[number, segment]
      for number, tree in enumerate(self.batch)
      for segment in tree.scored
    ]
    head = params['score_head']
    hidden = ladder.forward(self.model, params, self.packed).hidden
    ends = hidden[tuple(np.array(spots).T)]
    scores = (ends * head['kernel'][:, 0][None]).sum(-1) + head['bias'][0]
    return scores.reshape(-1, self.num_candidates)

  def log_probs(self, params) -> jax.Array:
    """[BRANCHES, ROW] log-probability of each token given those before it."""
    hidden = ladder.forward(self.model, params, self.packed).hidden
    output = params.get('unembed', {'kernel': params['embed']['embedding']})
    logits = jnp.einsum('btd,vd->btv', hidden, output['kernel'][:VOCAB])
    log_probs = jax.nn.log_softmax(logits[:, :-1])
    targets = self.packed.tokens[:, 1:, None]
    taken = jnp.take_along_axis(log_probs, targets, axis=2)[..., 0]
    return jnp.pad(taken, ((0, 0), (1, 0)))

  def pair_loss(self, params) -> jax.Array:
    """Σ w softplus(r_bad - r_good) over the pairs."""
    scores = self.scores(params)
    gap = scores[:, 1] - scores[:, 0]
    return (self.weights * jnp.logaddexp(0.0, gap)).sum()

  def lm_loss(self, params) -> jax.Array:
    return -jnp.where(self.targets, self.log_probs(params), 0.0).sum()

  def pair_loss_by_loops(self, params) -> float:
    scores = np.asarray(self.scores(params), np.float64)
    return oracles.pairwise_loss(
      scores[:, 0], scores[:, 1], self.weights, [True] * len(scores)
    )['total']
