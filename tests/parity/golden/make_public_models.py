"""Makes the public models that `tests/models/test_public_weights.py` opens.

  python -m tests.parity.golden.make_public_models

Needs torch and transformers, which the tests do not. One folder a family:
`config.json` and `model.safetensors` as transformers writes them, and
`said.npz` with tokens [2, 12], the logits [2, 12, V] it gave them, and the
versions that did.
"""

import pathlib

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / 'public_models'
SHAPE = {
  'vocab_size': 24,
  'hidden_size': 16,
  'intermediate_size': 24,
  'num_hidden_layers': 2,
  'num_attention_heads': 4,
  'max_position_embeddings': 64,
}
CONFIGS = (
  transformers.GPTNeoXConfig(**SHAPE, rotary_pct=0.5),
  transformers.LlamaConfig(**SHAPE, num_key_value_heads=2, rope_theta=500.0),
  transformers.Qwen2Config(
    **SHAPE, num_key_value_heads=1, tie_word_embeddings=True
  ),
  transformers.Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=8),
)


def main() -> None:
  """Writes all families."""
  torch.set_num_threads(1)  # the order of sums is part of the file
  for config in CONFIGS:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # modules draw their first weights from here
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
      # Fresh norms are ones and biases zeros, and would not show a mix-up.
      for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.add_(0.3 * noise)
      tokens = torch.randint(SHAPE['vocab_size'], (2, 12), generator=generator)
      logits = model(tokens).logits
    folder = FOLDER / config.model_type
    model.save_pretrained(folder)
    (folder / 'generation_config.json').unlink(missing_ok=True)
    np.savez(
      folder / 'said.npz',
      tokens=tokens.numpy(),
      logits=logits.numpy(),
      versions=f'torch {torch.__version__}, '
      f'transformers {transformers.__version__}',
    )


if __name__ == '__main__':
  main()
