"""Configs of the paper's figures, one file a figure."""
