"""Makes the tiny GPT that `tests/parity/test_torch_parity.py` trains again.

  python -m tests.parity.golden.make_torch_gpt

Needs torch; the test does not. A pre-norm GPT with rotary positions, tanh
GELU and tied output, in plain torch modules, float64, and ten updates of
torch's own AdamW with its own clipping. The file holds the weights (in torch's
names and layout), tokens and mask of each step, logits, loss and gradients of
the first step, every loss, the weights at the end, and torch's version.
"""

import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

FILE = pathlib.Path(__file__).parent / 'torch_gpt.npz'
LAYERS, WIDTH, HEADS, VOCAB = 2, 16, 2, 24
STEPS, ROWS, COLUMNS = 10, 3, 9
RATE, BETAS, EPS, DECAY, CLIP = 3e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def rotate(x: torch.Tensor) -> torch.Tensor:
  """Turns [B, heads, T, width] by position; dimension i pairs with i + w/2."""
  half = x.shape[-1] // 2
  wave = 10_000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
  angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * wave
  left, right = x[..., :half], x[..., half:]
  cos, sin = angle.cos(), angle.sin()
  return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


class Block(nn.Module):
  """Attention, then an MLP, each on the normalised stream."""

  def __init__(self):
    super().__init__()
    self.attention_norm = nn.LayerNorm(WIDTH)
    self.query = nn.Linear(WIDTH, WIDTH, bias=False)
    self.key = nn.Linear(WIDTH, WIDTH, bias=False)
    self.value = nn.Linear(WIDTH, WIDTH, bias=False)
    self.out = nn.Linear(WIDTH, WIDTH, bias=False)
    self.mlp_norm = nn.LayerNorm(WIDTH)
    self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
    self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[B, T, WIDTH] to the same."""
    rows, columns, _ = x.shape

    def heads(linear: nn.Linear) -> torch.Tensor:
      parts = linear(normed).view(rows, columns, HEADS, -1)
      return parts.transpose(1, 2)

    normed = self.attention_norm(x)
    attended = functional.scaled_dot_product_attention(
      rotate(heads(self.query)),
      rotate(heads(self.key)),
      heads(self.value),
      is_causal=True,
    )
    x = x + self.out(attended.transpose(1, 2).reshape(rows, columns, WIDTH))
    hidden = functional.gelu(self.up(self.mlp_norm(x)), approximate='tanh')
    return x + self.down(hidden)


class GPT(nn.Module):
  """Logits [B, T, VOCAB] of tokens [B, T]."""

  def __init__(self):
    super().__init__()
    self.embed = nn.Embedding(VOCAB, WIDTH)
    self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
    self.final_norm = nn.LayerNorm(WIDTH)

  def forward(self, tokens: torch.Tensor) -> torch.Tensor:
    x = self.embed(tokens)
    for block in self.blocks:
      x = block(x)
    return self.final_norm(x) @ self.embed.weight.T


def loss_of(
  logits: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
  """Mean negative log-likelihood of the tokens under the mask."""
  flat = functional.cross_entropy(
    logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction='none'
  )
  chosen = mask[:, 1:].flatten().double()
  return (flat * chosen).sum() / chosen.sum()


def weights(model: nn.Module, name: str) -> dict[str, np.ndarray]:
  """Copies of all weights under a prefix."""
  return {
    f'{name}/{key}': tensor.detach().numpy().copy()
    for key, tensor in model.named_parameters()
  }


def main() -> None:
  """Trains and writes the file."""
  torch.set_default_dtype(torch.float64)
  torch.set_num_threads(1)  # the order of sums is part of the file
  generator = torch.Generator().manual_seed(0)
  torch.manual_seed(0)  # modules draw their first weights from here
  model = GPT()
  with torch.no_grad():
    for parameter in model.parameters():
      noise = 0.15 * torch.randn(parameter.shape, generator=generator)
      # What both sides start from is exact in float32.
      parameter.add_(noise).copy_(parameter.float().double())
  tokens = torch.randint(VOCAB, (STEPS, ROWS, COLUMNS), generator=generator)
  mask = torch.rand(tokens.shape, generator=generator) < 0.8
  saved = weights(model, 'before')
  is_matrix = lambda p: p.ndim == 2  # noqa: E731
  optimizer = torch.optim.AdamW(
    [
      {'params': [p for p in model.parameters() if is_matrix(p)]},
      {
        'params': [p for p in model.parameters() if not is_matrix(p)],
        'weight_decay': 0.0,
      },
    ],
    lr=RATE,
    betas=BETAS,
    eps=EPS,
    weight_decay=DECAY,
  )
  losses, norms = [], []
  for step in range(STEPS):
    logits = model(tokens[step])
    loss = loss_of(logits, tokens[step], mask[step])
    optimizer.zero_grad()
    loss.backward()
    if step == 0:
      saved['logits'] = logits.detach().numpy()
      saved |= {
        f'gradient/{key}': parameter.grad.numpy().copy()
        for key, parameter in model.named_parameters()
      }
    norms.append(nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
    optimizer.step()
    losses.append(loss.item())
  np.savez_compressed(
    FILE,
    versions=f'torch {torch.__version__}',
    tokens=tokens.numpy(),
    mask=mask.numpy(),
    losses=np.array(losses),
    norms=np.array(norms),
    **saved,
    **weights(model, 'after'),
  )


if __name__ == '__main__':
  main()
