"""What a job cannot do without: operations, and bytes read while decoding.

1. A token costs two operations a weight of the block matrices, and attention
   4 d a layer for every token that it sees, itself included.
2. Logits cost 2 d V where somebody reads them.
3. A training step costs three forward passes.
4. Padding, recomputation and log-probs that are known already count nothing.
5. A decoding step reads all weights once, whatever the batch, and the keys and
   values of every token so far; what it writes is little beside that.

Operations by this count over the peak of the chip are MFU: attention counted
causally, the output matrix counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hh_jax.config import ModelConfig
from hh_jax.planning import chips

BYTES = {'float32': 4, 'bfloat16': 2}


@dataclasses.dataclass(frozen=True)
class Counter:
  """Operations and bytes of one network."""

  config: ModelConfig  # weights are read in its compute type

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

  def decode_bytes(
    self, prompts: Sequence[int], reply: float, batch: int
  ) -> float:
    """Bytes read for `reply` tokens after each prompt, `batch` at a time.

      B = (G E / B) b_w (N + V d) + E[S] b_kv 2 L K H

    with S = P G + G (G + 1) / 2 keys a reply, summed over all replies, b_w and
    b_kv the bytes of a weight and of a cached number.
    """
    config = self.config
    weights = config.num_block_params + config.vocab_size * config.model_dim
    weights *= BYTES[config.compute_dtype]
    token = 2 * config.num_layers * config.kv_heads * config.width_of_head
    token *= BYTES[config.type_of_cache]
    seen = sum(p * reply + reply * (reply + 1) / 2 for p in prompts)
    steps = reply * len(prompts) / min(batch, len(prompts))
    return weights * steps + token * seen

  def decode_seconds(
    self, prompts: Sequence[int], reply: float, batch: int, chip: chips.Chip
  ) -> float:
    """The memory roofline: the bytes at a bandwidth that copies attain."""
    bandwidth = chips.ATTAINABLE_BANDWIDTH * chip.bandwidth
    return self.decode_bytes(prompts, reply, batch) / bandwidth

  def ppo(
    self, prompts: Sequence[int], mean_reply: float, is_shared: bool
  ) -> float:
    """Sampling; reference, value and preference model; one update."""
    learnt = self.ppo_read(prompts, mean_reply, is_shared)
    return self.sampling(prompts, mean_reply) + learnt

  def ppo_read(
    self, prompts: Sequence[int], mean_reply: float, is_shared: bool
  ) -> float:
    """What follows sampling: all networks read the replies, then the update."""
    reply = round(mean_reply)
    body = sum(self.tree(p, [reply]) for p in prompts)
    head = self.logits(reply * len(prompts))
    # A shared trunk still reads the replies once more for its values.
    scored = 3 * body + head
    trained = 3 * ((1 if is_shared else 2) * body + head)
    return scored + trained

  def ppo_seconds(
    self,
    prompts: Sequence[int],
    mean_reply: float,
    is_shared: bool,
    chip: chips.Chip,
  ) -> float | None:
    """The ideal iteration; None where the peak of the chip is not known.

      t = (prompts read + replies scored + update) / (0.8 peak) + decoding

    Operations run at what matrix products attain; decoding is its memory
    roofline with all prompts in one batch.
    """
    peak = chip.peak(self.config.compute_dtype)
    if peak is None:
      return None
    read = sum(self.pass_over(0, p) for p in prompts)
    read += self.ppo_read(prompts, mean_reply, is_shared)
    decoding = self.decode_seconds(prompts, mean_reply, len(prompts), chip)
    return read / (chips.ATTAINABLE_FLOPS * peak) + decoding
