"""Configuration that several stages share: model, optimizer, loop, data.

`lr_pretrain` is the one place a learning rate comes from; the stages hold the
paper's multiples of it.

Marks in the comments: `[§x]` is a section of Bai et al. 2022, `[open]` means
that the paper does not say and this is our choice.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

WORLDS = ('lab', 'hh')
DTYPES = ('float32', 'bfloat16')


def require(condition: bool, message: str) -> None:
  """Raises ValueError with the message unless the condition holds."""
  if not condition:
    raise ValueError(message)


def one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
  """Raises ValueError unless the value is one of the choices."""
  require(value in choices, f'{name}={value!r} is not one of {choices}')


def run_of(*stages: str, is_optional: bool = False) -> Any:
  """A field for the workdir of a finished run of one of the stages."""
  metadata = {'stages': stages, 'is_optional': is_optional}
  return dataclasses.field(default='', metadata=metadata)


def positive(owner: object, *names: str) -> None:
  """Raises ValueError unless the named attributes are above zero."""
  for name in names:
    value = getattr(owner, name)
    require(value > 0, f'{name}={value!r} must be positive')


def counts(owner: Any) -> None:
  """Raises ValueError for a whole number of a config below zero."""
  for field in dataclasses.fields(owner):
    value = getattr(owner, field.name)
    require(
      not isinstance(value, int) or value >= 0, f'{field.name}={value} is < 0'
    )


def fraction(owner: object, *names: str) -> None:
  """Raises ValueError unless the named attributes are within [0, 1]."""
  for name in names:
    value = getattr(owner, name)
    require(0 <= value <= 1, f'{name}={value} is outside [0, 1]')


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and options of one decoder-only Transformer."""

  num_layers: int = 4  # L
  model_dim: int = 128  # d, width of the residual stream
  num_heads: int = 4  # [open]
  num_kv_heads: int = 0  # 0: as many as query heads
  head_dim: int = 0  # 0: model_dim / num_heads
  ffn_dim: int = 0  # 0: 4 * model_dim
  vocab_size: int = 4096  # tokens [open]
  vocab_multiple: int = 1  # embedding rows are padded up to a multiple
  max_positions: int = 8192  # [A-2nd] context; a limit for learned positions
  norm: str = 'layer'  # 'layer' or 'rms' [open]
  norm_eps: float = 1e-5  # added to the variance [open]
  mlp: str = 'gelu_tanh'  # 'gelu', 'gelu_tanh' or 'swiglu' [open]
  parallel_residual: bool = False  # attention and MLP read the same stream
  qkv_bias: bool = False  # of queries, keys and values
  out_bias: bool = False  # of the attention's output
  mlp_bias: bool = False  # of every matrix of the MLP
  qk_norm: bool = False  # RMS norm of queries and keys per head
  positions: str = 'rotary'  # 'rotary' or 'learned' [open]
  rotary_fraction: float = 1.0  # of the dimensions of a head that are turned
  rotary_theta: float = 10_000.0  # base of the wave lengths, in tokens
  rotary_scaling: float = 1.0  # positions are divided by this
  rotary_layout: str = 'half'  # 'half' or 'interleaved'
  tied_embedding: bool = True  # the output matrix is the embedding [open]
  init_std: float = 0.02  # of the first weights [open]
  compute_dtype: str = 'float32'  # operands of matmuls; params stay float32
  cache_dtype: str = ''  # of cached keys and values; '': compute_dtype
  scan_unroll: int = 1  # layers unrolled per scan step; num_layers is fastest
  remat: bool = False  # recompute each block in the backward pass

  def __post_init__(self):
    counts(self)
    positive(
      self,
      'num_layers',
      'model_dim',
      'num_heads',
      'vocab_size',
      'vocab_multiple',
      'max_positions',
      'scan_unroll',
      'norm_eps',
      'init_std',
      'rotary_scaling',
    )
    one_of('norm', self.norm, ('layer', 'rms'))
    one_of('mlp', self.mlp, ('gelu', 'gelu_tanh', 'swiglu'))
    one_of('positions', self.positions, ('rotary', 'learned'))
    one_of('rotary_layout', self.rotary_layout, ('half', 'interleaved'))
    one_of('compute_dtype', self.compute_dtype, DTYPES)
    one_of('cache_dtype', self.cache_dtype, ('', *DTYPES))
    require(
      self.head_dim > 0 or self.model_dim % self.num_heads == 0,
      f'num_heads={self.num_heads} does not divide '
      f'model_dim={self.model_dim}; choose a divisor or set head_dim',
    )
    require(
      self.num_heads % self.kv_heads == 0,
      f'num_kv_heads={self.num_kv_heads} does not divide '
      f'num_heads={self.num_heads}',
    )
    fraction(self, 'rotary_fraction')
    require(
      self.positions != 'rotary' or self.num_rotary % 2 == 0,
      f'rotary positions turn pairs, and rotary_fraction={self.rotary_fraction}'
      f' of a head of {self.width_of_head} is {self.num_rotary} dimensions; '
      'choose an even number',
    )

  @property
  def num_rotary(self) -> int:
    """Dimensions of a head that positions turn."""
    return int(self.width_of_head * self.rotary_fraction)

  @property
  def kv_heads(self) -> int:
    return self.num_kv_heads or self.num_heads

  @property
  def width_of_head(self) -> int:
    return self.head_dim or self.model_dim // self.num_heads

  @property
  def type_of_cache(self) -> str:
    return self.cache_dtype or self.compute_dtype

  @property
  def width_of_ffn(self) -> int:
    return self.ffn_dim or 4 * self.model_dim

  @property
  def padded_vocab(self) -> int:
    return -(-self.vocab_size // self.vocab_multiple) * self.vocab_multiple

  @property
  def num_block_params(self) -> int:
    """Weights of the block matrices, 12 L d² on the ladder [§3.1]."""
    attention = self.model_dim * self.width_of_head
    attention *= 2 * self.num_heads + 2 * self.kv_heads
    num_mlp_matrices = 3 if self.mlp == 'swiglu' else 2
    mlp = num_mlp_matrices * self.model_dim * self.width_of_ffn
    return self.num_layers * (attention + mlp)


LARGEST_FITTED = 1e9  # parameters; Kaplan et al. fitted sizes up to 1.5e9


def lr_pretrain(model: ModelConfig) -> float:
  """Peak pretraining learning rate for a model size [open].

  The paper gives every later rate as a multiple of an unstated one. Up to
  `LARGEST_FITTED` non-embedding parameters N this is the rule of Kaplan et
  al. 2020, eq. D.1, which crosses zero near 1.2e10; beyond, the rate goes on
  as N^(-1/3).
  """
  num_params = model.num_block_params
  fitted = 0.003239 - 0.0001395 * math.log(min(num_params, LARGEST_FITTED))
  return fitted * max(num_params / LARGEST_FITTED, 1.0) ** (-1 / 3)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """AdamW with global-norm clipping; the rate is a multiple of lr_pretrain."""

  lr_multiple: float = 1.0  # of lr_pretrain(size); see each stage
  lr_override: float = 0.0  # absolute peak rate; 0 uses the multiple
  warmup_steps: int = 0  # steps of a linear rise to the peak rate [open]
  schedule: str = 'constant'  # 'constant', 'linear' or 'cosine' decay to 0
  beta1: float = 0.9  # [open]
  beta2: float = 0.95  # [open]
  eps: float = 1e-8  # [open]
  weight_decay: float = 0.0  # [open]
  clip_norm: float = 1.0  # global gradient norm [open]

  def __post_init__(self):
    one_of('schedule', self.schedule, ('constant', 'linear', 'cosine'))
    positive(self, 'lr_multiple', 'eps', 'clip_norm')
    counts(self)
    for name in ('lr_override', 'weight_decay'):
      value = getattr(self, name)
      require(value >= 0, f'{name}={value} is < 0')
    for name in ('beta1', 'beta2'):
      value = getattr(self, name)
      require(0 <= value < 1, f'{name}={value} is outside [0, 1)')

  def peak_lr(self, model: ModelConfig) -> float:
    return self.lr_override or self.lr_multiple * lr_pretrain(model)


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """How a stage is run: nothing here changes what is computed, but the mesh."""

  log_every: int = 10  # steps between log lines off a terminal
  checkpoint_every: int = 0  # steps; 0: only at the end
  keep_checkpoints: int = 3
  keep_steps: tuple[int, ...] = ()  # whose checkpoints are made and stay beside
  max_bad_steps: int = 3  # in a row, skipped as not finite; then exit code 3
  watchdog: int = 20  # times the median step, but 10 minutes at least, until a
  # process whose step does not end says where it hangs and kills itself; 0: off
  compilation_cache: str = ''  # folder of XLA's persistent cache; '': none
  mesh_data: int = 1  # devices along the batch
  mesh_fsdp: int = 1  # devices that shard parameters
  mesh_tensor: int = 1  # devices that split matrices

  def __post_init__(self):
    counts(self)
    positive(
      self,
      'log_every',
      'keep_checkpoints',
      'max_bad_steps',
      'mesh_data',
      'mesh_fsdp',
      'mesh_tensor',
    )
    require(
      all(step > 0 for step in self.keep_steps),
      f'keep_steps={self.keep_steps} must be positive',
    )


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where examples come from and how they become batches."""

  world: str = 'lab'
  data_dir: str = ''  # world=hh: official layout, a folder or a jsonl file
  batch_size: int = 32  # examples a step; comparisons: 32 [A-2nd], else [open]
  row_length: int = 256  # tokens of one packed row (T)
  max_path: int = 0  # longest prompt + reply in tokens; 0: row_length
  long_paths: str = 'truncate'  # 'truncate' (drop the left end) or 'reject'
  summaries: str = 'none'  # comparisons of summaries [§5.2]: 'none', 'alone' or
  # 'mixed' with the others; world=hh: those of a file `summaries.jsonl`
  trees: str = 'comparison'  # one tree a 'comparison' or a 'conversation'
  num_examples: int = 0  # how many are made or read; world=hh: 0 is all
  test_fraction: float = 0.05  # by hash of the first human turn [§2.3]
  span_start: float = 0.0  # part of the training split, by the same hash,
  span_end: float = 1.0  # so that PMs can be trained on disjoint halves
  split_offset: float = 0.0  # turns the split; k * test_fraction gives folds

  def __post_init__(self):
    one_of('world', self.world, WORLDS)
    one_of('long_paths', self.long_paths, ('truncate', 'reject'))
    one_of('summaries', self.summaries, ('none', 'alone', 'mixed'))
    one_of('trees', self.trees, ('comparison', 'conversation'))
    counts(self)
    positive(self, 'batch_size', 'row_length')
    require(
      0 <= self.max_path <= self.row_length,
      f'max_path={self.max_path} exceeds row_length={self.row_length}',
    )
    require(
      0 <= self.test_fraction < 1,
      f'test_fraction={self.test_fraction} is outside [0, 1)',
    )
    require(
      0 <= self.span_start < self.span_end <= 1,
      f'span_start={self.span_start}, span_end={self.span_end} is no span',
    )

  @property
  def longest_path(self) -> int:
    return self.max_path or self.row_length


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """How replies are drawn. Sampler and trainer read the same fields."""

  max_new_tokens: int = 128  # [§4.1, B.1]; 32 in the robustness study
  temperature: float = 1.0  # [open]; implied by the text
  top_p: float = 1.0  # RLHF is trained and compared without top-p [fn 12]
  max_prompt: int = 0  # longest prompt in tokens; 0: no limit but the row
  slots: int = 64  # sequences decoded at once
  stop_at_turn: bool = True  # stop where the model opens the next turn [open];
  # the marker is no part of the reply and none of its tokens is trained on

  def __post_init__(self):
    counts(self)
    positive(self, 'max_new_tokens', 'temperature', 'slots')
    require(0 < self.top_p <= 1, f'top_p={self.top_p} is outside (0, 1]')
