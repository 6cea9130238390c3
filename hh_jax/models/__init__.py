"""The Transformer, its heads and the size ladder: the only Flax code."""
