"""Parameterised pieces of a block: a dense layer and a norm."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from hh_jax.ops import linear, norms


class Dense(nn.Module):
  """`linear` with its parameters: kernel [I, O] and an optional bias [O]."""

  features: int
  use_bias: bool
  init_std: float
  compute_dtype: str

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param(
      'kernel',
      nn.initializers.normal(self.init_std),
      (x.shape[-1], self.features),
      jnp.float32,
    )
    bias = None
    if self.use_bias:
      bias = self.param(
        'bias', nn.initializers.zeros, (self.features,), jnp.float32
      )
    return linear.linear(
      x, kernel, bias, compute_dtype=jnp.dtype(self.compute_dtype)
    )


class Norm(nn.Module):
  """Layer norm (scale and bias) or RMS norm (scale) of the last axis."""

  kind: str
  eps: float

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (x.shape[-1],)
    scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
    if self.kind == 'rms':
      return norms.rms_norm(x, scale, self.eps)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    return norms.layer_norm(x, scale, bias, self.eps)


class Embedding(nn.Module):
  """A table of vectors read by integer id, [V, D]."""

  num_rows: int
  features: int
  init_std: float

  @nn.compact
  def __call__(self, ids: jax.Array) -> jax.Array:
    table = self.param(
      'embedding',
      nn.initializers.normal(self.init_std),
      (self.num_rows, self.features),
      jnp.float32,
    )
    return jnp.take(table, ids, axis=0)


class Matrix(nn.Module):
  """A kernel that is declared here and used outside the module."""

  shape: tuple[int, int]
  init_std: float

  @nn.compact
  def __call__(self) -> jax.Array:
    return self.param(
      'kernel', nn.initializers.normal(self.init_std), self.shape, jnp.float32
    )
