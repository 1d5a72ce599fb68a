"""Writes a model and its card so that no card ever lies beside a model for which it was not written.

Thresholds and evidence of one network on the outputs of another would be silently wrong; a model without a card is not:
it converts as a demo and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from convert.durable import sync_path


def write_model_and_card(model: keras.Model, card: Mapping[str, Any], out: Path) -> None:
    """Write `out` and the card beside it, each whole, in place of earlier ones. Raises OSError where that fails."""
    card_file = out.with_suffix(".card.json")
    new_model, new_card = out.with_name(f"{out.stem}.part{out.suffix}"), card_file.with_name(card_file.name + ".part")
    try:
        model.save(new_model)
        new_card.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        sync_path(new_model)
        sync_path(new_card)
        # Gone before the new model comes: whenever the power fails, an earlier card is not beside it.
        card_file.unlink(missing_ok=True)
        sync_path(out.parent)
        new_model.replace(out)
        new_card.replace(card_file)
    finally:
        new_model.unlink(missing_ok=True)
        new_card.unlink(missing_ok=True)
