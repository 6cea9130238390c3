"""A tokenizer whose words are their ids: trainers ask for one and only pad."""

from __future__ import annotations

import tokenizers
import transformers

PAD, EOT, EOC = 0, 1, 2


def tokenizer(side: str) -> transformers.PreTrainedTokenizerFast:
  """Pads on the `left` or the `right`."""
  words = {str(number): number for number in range(3)}
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizers.Tokenizer(
      tokenizers.models.WordLevel(words, unk_token=str(EOC))
    ),
    pad_token=str(PAD),
    eos_token=str(EOT),
    padding_side=side,
  )
