"""Entry points: command lines."""
