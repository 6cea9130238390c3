"""Figures, the run's page, and measured results, from result files only."""
