"""Acceptance: the real bundle, real processes, real folders, real cells where they are at hand."""
