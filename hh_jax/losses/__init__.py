"""Losses: pure functions of arrays that return sums, never means.

A loss returns `types.LossSum`: total, weight and metric sums in float32. Only
the optimizer step divides, once, by the global weight.
"""
