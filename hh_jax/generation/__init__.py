"""Sampling: prefill, a resumable decode loop, and best of k."""
