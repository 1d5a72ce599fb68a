"""Handing results over: a result's file name, publishing it whole and once, and reading what the LIS answers.

Knows nothing of the journal: whoever keeps the books decides what to publish and records what happened.
"""
