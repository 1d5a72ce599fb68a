"""Benchmarks of the shipped pipeline: the same calls that the daemon's worker makes, timed."""
