"""Entry points: command lines, sweeps, and what runs them."""
