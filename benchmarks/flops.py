"""Floating-point operations that a job cannot do without.

1. A token costs two operations a weight of the block matrices, and attention
   4 d a layer for every token that it sees, itself included.
2. Logits cost 2 d V where somebody reads them.
3. A training step costs three forward passes.
4. Padding, recomputation and log-probs that are known already count nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hh_jax.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class Counter:
  """Operations of one network."""

  config: ModelConfig

  def pass_over(self, prefix: int, new: int) -> float:
    """`new` tokens that continue `prefix` tokens, without logits."""
    seen = new * prefix + new * (new + 1) / 2
    width = self.config.num_heads * self.config.width_of_head
    attention = 4 * self.config.num_layers * width * seen
    return 2 * self.config.num_block_params * new + attention

  def logits(self, num: float) -> float:
    return 2 * self.config.model_dim * self.config.vocab_size * num

  def tree(self, prompt: int, replies: Sequence[int]) -> float:
    """A prompt and the replies that share it."""
    leaves = sum(self.pass_over(prompt, reply) for reply in replies)
    return self.pass_over(0, prompt) + leaves

  def lm_step(self, num_rows: int, row_length: int) -> float:
    forward = self.pass_over(0, row_length) + self.logits(row_length - 1)
    return 3 * num_rows * forward

  def pm_step(self, triples: Sequence[tuple[int, int, int]]) -> float:
    return 3 * sum(self.tree(p, (c + 1, r + 1)) for p, c, r in triples)

  def sampling(
    self, prompts: Sequence[int], mean_reply: float, k: int = 1
  ) -> float:
    """K replies to each prompt, which is read once."""
    reply = round(mean_reply)
    return sum(self.tree(p, [reply] * k) for p in prompts) + self.logits(
      reply * k * len(prompts)
    )

  def best_of(self, prompts: Sequence[int], mean_reply: float, k: int) -> float:
    scoring = sum(self.tree(p, [round(mean_reply)] * k) for p in prompts)
    return self.sampling(prompts, mean_reply, k) + scoring

  def ppo(
    self, prompts: Sequence[int], mean_reply: float, is_shared: bool
  ) -> float:
    """Sampling; reference, value and preference model; one update."""
    reply = round(mean_reply)
    body = sum(self.tree(p, [reply]) for p in prompts)
    head = self.logits(reply * len(prompts))
    # A shared trunk still reads the replies once more for its values.
    scored = 3 * body + head
    trained = 3 * ((1 if is_shared else 2) * body + head)
    return self.sampling(prompts, mean_reply) + scored + trained
