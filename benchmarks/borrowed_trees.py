"""Trees of one network beside another: a benchmark times and proves with them, and nobody is to believe their score."""

from __future__ import annotations

import json
from pathlib import Path

import xgboost

from convert.tree_model import ATTRIBUTE


def borrow_trees(trees: Path, out: Path) -> None:
    """Write the trees without the digests of their network and decision, by which a conversion would refuse them."""
    booster = xgboost.Booster(model_file=trees)
    spec = json.loads(booster.attr(ATTRIBUTE))
    booster.set_attr(**{ATTRIBUTE: json.dumps({k: v for k, v in spec.items() if k not in ("network", "decision")})})
    booster.save_model(out)
