"""Values of command-line options that are refused, with the reason, before anything starts: `type=` of argparse."""

from __future__ import annotations

import argparse


def positive_number(text: str) -> int:
    """Return the whole number from 1 on. Raises argparse.ArgumentTypeError for anything else."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def sample_id_pattern(text: str) -> str:
    """Return the regular expression with its one group. Raises argparse.ArgumentTypeError with the reason."""
    # Imported here: the configuration's rules need pydantic, a help page must not.
    from edge.config_values import compiled_sample_id_pattern

    try:
        return compiled_sample_id_pattern(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error
