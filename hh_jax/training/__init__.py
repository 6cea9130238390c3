"""Machinery of every stage, knowing none: state, loop, checkpoints, metrics."""
