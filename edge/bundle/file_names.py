"""Which files a bundle may hold, by their names; what a file is used as goes by the same names.

One rule for all who ask: what may run as a network is what is checked as a network.
"""

from __future__ import annotations

import re

_NETWORK = re.compile(r"cells(\.[a-z0-9]+){0,3}\.onnx")

# One pattern per kind of file a bundle may hold. Everything else is refused: pickles, checkpoints of frameworks,
# scripts and libraries outside trees/ have no place here.
_PATTERNS = (
    _NETWORK,
    *(
        re.compile(pattern)
        for pattern in (
            r"catalogue\.json|parity\.json|MODEL_CARD\.md",
            r"trees/[A-Za-z0-9_-]{1,64}/(model\.json|model\.treelite|(cohort|scope)\.npz|[a-z0-9]+-[a-z0-9_]+\.so)",
            r"golden/(images|expected|profiles)\.npz",
            r"decision/[a-z0-9_-]{1,64}\.npz",
            r"plans/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.plan",
        )
    ),
)


def may_be_in_bundle(path: str) -> bool:
    """Tell whether a bundle may hold a file at this path (relative, POSIX)."""
    return any(pattern.fullmatch(path) for pattern in _PATTERNS)


def is_network(path: str) -> bool:
    """Tell whether a file at this path is a network: only such a file is looked into as one, and may be run."""
    return _NETWORK.fullmatch(path) is not None
