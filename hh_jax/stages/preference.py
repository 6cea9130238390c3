"""What the two preference stages share: pairs to batches, training, accuracy.

1. A comparison becomes a tree: the shared prompt, the chosen and the rejected
   reply after it, and an end-of-context token after each reply.
2. Trees of a batch are packed into rows; one forward pass reads both scores.
3. The loss is softplus(r_rejected - r_chosen), weighted by λ on the harmless
   side, plus an optional language-model loss on the chosen reply.

Reference: Bai et al. 2022, sections 3.1, 5.1.2 and A.2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax

from hh_jax.config import DataConfig, PMConfig, PMPConfig
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import order, packing, trees
from hh_jax.data.comparisons import SIDES, Comparison
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.evals import preference_accuracy, scoring
from hh_jax.losses import lm, preference, sums
from hh_jax.models import heads, ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.stages import loading, session
from hh_jax.training import keys, loop, optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum, Metrics, Packed, Params, RunState

CURVE_SPAN = 50  # the first point of a learning curve is this part of it


@functools.lru_cache(maxsize=8)
def make_pm_step(
  model: Transformer, tx: optax.GradientTransformation, lm_coef: float
) -> state_lib.Step:
  """Builds the preference-model update on one packed batch of comparisons.

  The same update is the same function: models that differ in their data alone
  are compiled once.
  """

  def loss_fn(params: Params, batch: Packed, scale: jax.Array) -> LossSum:
    hidden = ladder.forward(model, params, batch).hidden
    scores = heads.scores_at(params, hidden, batch.score_index)
    loss = preference.pairwise_loss(
      scores[:, 0], scores[:, 1], batch.pair_weight, batch.pair_mask
    )
    if lm_coef == 0:
      return loss
    log_probs = readout.token_log_probs(model, params, hidden, batch)
    text = lm.next_token_loss(log_probs, batch.loss_mask)
    return with_lm_loss(loss, text, scale)

  def step(state: RunState, batch: Packed) -> tuple[RunState, Metrics]:
    scale = lm_scale(batch.pair_mask, batch.loss_mask, lm_coef)
    return state_lib.loss_step(
      lambda params, part: loss_fn(params, part, scale), state, batch, tx
    )

  return step


def lm_scale(
  pair_mask: jax.Array, loss_mask: jax.Array, lm_coef: float
) -> jax.Array:
  """Factor by which the mean token loss counts `lm_coef` times a mean pair's.

  It is of the whole batch, so that parts of it can be summed one by one.
  """
  num_tokens = jax.numpy.maximum(sums.count(loss_mask), 1.0)
  return lm_coef * sums.count(pair_mask) / num_tokens


def with_lm_loss(pair: LossSum, text: LossSum, scale: jax.Array) -> LossSum:
  """Adds `scale` times the sum of token losses to the sum of pair losses."""
  return LossSum(
    total=pair.total + scale * text.total,
    weight=pair.weight,
    metrics={**pair.metrics, **text.metrics},
  )


@dataclasses.dataclass(frozen=True)
class PairBatches:
  """Random access to packed batches of comparisons, one epoch long."""

  batches: tuple[tuple[trees.Tree, ...], ...]
  num_comparisons: int
  data: DataConfig
  row_buckets: tuple[int, ...]
  counts: dict[str, int]

  @property
  def num_batches(self) -> int:
    return len(self.batches)

  def __call__(self, step: int) -> Packed:
    """Returns batch `step` of the epoch."""
    return packing.pack(
      self.batches[step],
      self.data.row_length,
      batch_size=self.data.batch_size,
      row_buckets=self.row_buckets,
    ).packed


def pair_batches(
  comparisons: Sequence[Comparison],
  tokenizer: Tokenizer,
  data: DataConfig,
  seed: int,
  stage: str,
) -> PairBatches:
  """Tokenises comparisons and fixes the few batch shapes they will need.

  Batch t is a function of (seed, stage, t): comparisons in random order, a
  tree each, or with `data.trees='conversation'` those of one conversation
  side by side, a tree for all that share their first turn.

  Raises:
    ValueError: There is nothing to train on.
  """
  items, counts = fitting_trees(comparisons, tokenizer, data)
  if not items:
    raise ValueError(
      f'no comparison is left to train on: {len(comparisons)} given, '
      f'{counts}; check data_dir, the span and row_length={data.row_length}'
    )
  num_batches = order.num_batches(len(items), data.batch_size)
  if data.trees == 'conversation':
    # A tree's example id is the place of its comparison.
    kept = [comparisons[item.example_id] for item in items]
    groups = dialogue_lib.conversation_ids(
      [comparison.prompt for comparison in kept]
    ).tolist()
    batches = [
      conversation_batch(
        [
          kept[i]
          for i in order.grouped_batch_ids(
            seed, stage, t, groups, data.batch_size
          )
        ],
        tokenizer,
        data,
      )
      for t in range(num_batches)
    ]
  else:
    batches = [
      [
        items[i]
        for i in order.batch_ids(seed, stage, t, len(items), data.batch_size)
      ]
      for t in range(num_batches)
    ]
  return PairBatches(
    batches=tuple(tuple(batch) for batch in batches),
    num_comparisons=len(items),
    data=data,
    row_buckets=packing.row_buckets(batches, data.row_length),
    counts=counts,
  )


def conversation_batch(
  comparisons: Sequence[Comparison], tokenizer: Tokenizer, data: DataConfig
) -> list[trees.Tree]:
  """Returns trees of whole conversations; long paths lose their left end."""
  merged = trees.conversation_trees(tokenizer, comparisons, data.longest_path)
  return trees.fit_paths(merged, data.longest_path, 'truncate')[0]


def fitting_trees(
  comparisons: Sequence[Comparison], tokenizer: Tokenizer, data: DataConfig
) -> tuple[list[trees.Tree], dict[str, int]]:
  """Returns one tree a comparison that fits, and counts of the rest."""
  items = [
    trees.comparison_tree(tokenizer, comparison, example_id=index)
    for index, comparison in enumerate(comparisons)
  ]
  return trees.fit_paths(items, data.longest_path, data.long_paths)


def is_cut(
  comparisons: Sequence[Comparison], tokenizer: Tokenizer, data: DataConfig
) -> np.ndarray:
  """Returns which comparisons have a path that is too long, [N] bool."""
  return np.array(
    [
      trees.comparison_tree(tokenizer, item, example_id=0).longest_path
      > data.longest_path
      for item in comparisons
    ]
  )


def pair_scores(
  model: Transformer,
  params: Params,
  comparisons: Sequence[Comparison],
  tokenizer: Tokenizer,
  data: DataConfig,
) -> np.ndarray:
  """Returns the scores of (chosen, rejected), [N, 2] float32.

  Paths that are too long lose their left end here, whatever `long_paths`
  says, so that every comparison has a score.
  """
  truncating = dataclasses.replace(data, long_paths='truncate')
  items, _ = fitting_trees(comparisons, tokenizer, truncating)
  return scoring.score_trees(model, params, items, data.row_length, 2)


Measure = Callable[[Params, int], None]  # parameters, comparisons seen


def train(
  config: PMConfig | PMPConfig,
  start: loading.Run,
  claimed: session.Session,
  comparisons: Sequence[Comparison],
  measure: Measure | None = None,
  num_points: int = 0,
) -> tuple[RunState, PairBatches]:
  """Trains on every comparison once.

  Args:
    config: Of the stage.
    start: Where the weights come from.
    claimed: The stage's folder.
    comparisons: What is trained on.
    measure: Called `num_points` times within the epoch; see `curve_steps`.
    num_points: How often.

  Returns:
    The last state and the batches.
  """
  batches = pair_batches(
    comparisons, start.tokenizer, config.data, config.seed, claimed.stage
  )
  tx = optimizer.make_optimizer(
    config.optimizer, start.model.config, batches.num_batches
  )
  step = jax.jit(
    make_pm_step(start.model, tx, config.lm_coef), donate_argnums=0
  )
  due = curve_steps(batches.num_batches, num_points)

  def on_step(state: RunState, done: int) -> None:
    if measure is not None and done in due:
      seen = min(done * config.data.batch_size, batches.num_comparisons)
      measure(state.params, seen)

  state = claimed.train(
    init=lambda: state_lib.init_state(with_score_head(start, config.seed), tx),
    advance=lambda state, t: step(state, batches(t)),
    total_steps=batches.num_batches,
    hooks=loop.Hooks(on_step=on_step),
  )
  return state, batches


def curve_steps(num_steps: int, num_points: int) -> set[int]:
  """Steps of a learning curve: evenly in their logarithm, the last included.

  Early steps may coincide; a curve then has fewer points.
  """
  if not num_points:
    return set()
  first = max(1.0, num_steps / CURVE_SPAN)
  steps = np.geomspace(num_steps, first, num_points)
  return {int(step) for step in np.round(steps)}


def with_score_head(start: loading.Run, seed: int) -> Params:
  """Returns the run's parameters, with a new score head where it has none."""
  if start.has_scores:
    return start.params
  head = heads.init_score_head(
    keys.fold(seed, 'pm', 'score_head'), start.model.config
  )
  return {**start.params, 'score_head': head}


def test_accuracy(
  start: loading.Run,
  params: Params,
  test: Sequence[Comparison],
  data: DataConfig,
) -> dict[str, float]:
  """Returns the accuracy of each side that the test part holds."""
  scores = pair_scores(start.model, params, test, start.tokenizer, data)
  correct = preference_accuracy.is_correct(scores)
  sides = np.array([item.side for item in test])
  return {
    side: float(correct[sides == side].mean())
    for side in SIDES
    if (sides == side).any()
  }
