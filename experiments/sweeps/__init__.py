"""Sweeps: plain data, one file each, for `python -m experiments.sweep`."""
