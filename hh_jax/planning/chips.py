"""What the makers of chips say that they can do.

1. Dense peaks, bandwidth and memory are those of data sheets.
2. Matrix products reach about `ATTAINABLE_FLOPS` of a data sheet's peak and
   copies about `ATTAINABLE_BANDWIDTH` of its bandwidth: what an ideal is
   reckoned with. MFU is against the data sheet.
3. `sustained` is lower: what the products of whole training steps reach where
   such steps were published (`tests/planning/anchors.json`), power limits and
   gaps between kernels included.
4. Chips are joined by a torus (TPU), or by nodes of eight with a network
   between them (GPU), where groups that cross it at the same time share it.
   `bandwidth_of` is what an all-gather over a group of chips receives, in bytes
   a second and chip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

ATTAINABLE_FLOPS = 0.8  # seen on H100 and H200: 0.79 to 0.81 of 989 TFLOP/s
ATTAINABLE_BANDWIDTH = 0.9  # seen on both: 3.0 of 3.35 and 4.3 of 4.8 TB/s
NODE = 8  # GPUs joined by NVLink


@dataclasses.dataclass(frozen=True)
class Chip:
  """Facts of one chip, from its data sheet; dense, no sparsity."""

  name: str
  bf16: float  # FLOP/s
  bandwidth: float  # bytes/s of its memory
  memory: float  # bytes
  tf32: float | None = None  # FLOP/s; what float32 products use on a GPU
  sustained: float = ATTAINABLE_FLOPS  # share of the peak, see above
  link: float = 0.0  # bytes/s, both ways round one axis of a torus; or NVLink
  torus: int = 0  # axes of the torus, 0: nodes and a network
  network: float = 0.0  # bytes/s that leave a node of GPUs
  overlaps: bool = True  # exchanges while it computes

  def peak(self, dtype: str) -> float | None:
    """Most operations a second on operands of a type; None if not known."""
    return self.bf16 if dtype == 'bfloat16' else self.tf32

  def bandwidth_of(self, group: Sequence[int], shape: Sequence[int]) -> float:
    """Bytes a second that a chip receives from a group of chips.

    Args:
      group: Numbers of the chips that take part. On a torus they are taken to
        be neighbours, as the mesh is laid out.
      shape: Chips along each axis of the torus.
    """
    if not self.torus:
      together = sum(chip // NODE == group[0] // NODE for chip in group)
      if together == len(group):
        return self.link
      return min(self.link, self.network * together / NODE)
    # The fewest axes, longest first, whose product holds the group.
    num_axes, held = 0, 1
    for size in sorted(shape, reverse=True):
      if held >= len(group) or size == 1:
        break
      num_axes, held = num_axes + 1, held * size
    return self.link * max(num_axes, 1)


_TERA, _GB, _GIB = 1e12, 1e9, 2.0**30
_A100 = Chip(
  'A100 SXM 80 GB',
  312 * _TERA,
  2039 * _GB,
  80 * _GIB,
  tf32=156 * _TERA,
  sustained=0.7,
  link=300 * _GB,
  network=200 * _GB,
)
_H100 = Chip(
  'H100 SXM',
  989.4 * _TERA,
  3350 * _GB,
  80 * _GIB,
  tf32=494.7 * _TERA,
  sustained=0.65,
  link=450 * _GB,
  network=400 * _GB,
)
_V5P = Chip(
  'TPU v5p', 459 * _TERA, 2765 * _GB, 95 * _GIB, link=180 * _GB, torus=3
)
_V6E = Chip(
  'TPU v6e', 918 * _TERA, 1638 * _GB, 32 * _GIB, link=180 * _GB, torus=2
)

# By what jax calls the device.
CHIPS: dict[str, Chip] = {
  'NVIDIA A100-SXM4-40GB': dataclasses.replace(
    _A100, name='A100 SXM 40 GB', bandwidth=1555 * _GB, memory=40 * _GIB
  ),
  'NVIDIA A100-SXM4-80GB': _A100,
  'NVIDIA H100 80GB HBM3': _H100,
  'NVIDIA H200': dataclasses.replace(
    _H100, name='H200 SXM', bandwidth=4800 * _GB, memory=141 * _GB
  ),
  'TPU v3': Chip(
    'TPU v3',
    123 * _TERA,
    900 * _GB,
    32 * _GIB,
    link=140 * _GB,
    torus=2,
    overlaps=False,
  ),
  'TPU v4': Chip(
    'TPU v4', 275 * _TERA, 1228 * _GB, 32 * _GIB, link=90 * _GB, torus=3
  ),
  'TPU v5 lite': Chip(
    'TPU v5e', 197 * _TERA, 819 * _GB, 16 * _GIB, link=90 * _GB, torus=2
  ),
  'TPU v5': _V5P,
  'TPU v5p': _V5P,
  'TPU v6 lite': _V6E,
  'TPU v6e': _V6E,
}
