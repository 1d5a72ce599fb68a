"""What a refusal means for people, and how far the conversion had come: the words of the certificate's page.

A conversion stops at the first proof that fails, so what was compared until then is another thing for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.bundle_parts import NO_ENGINE
from edge.errors import EdgeError

# These two say that an engine, compared on cells, is not the original; each of the others is about something else.
_OF_AN_ENGINE = {
    "MDSE-PARITY-001": "An engine does not decide like the original.",
    "MDSE-PARITY-005": "An engine does not compute on the golden cells what the original computes.",
}
_MEANINGS = {
    **_OF_AN_ENGINE,
    "MDSE-PARITY-002": "The trees do not compute what XGBoost computes.",
    "MDSE-PARITY-004": "The written graph does not compute what Keras computes.",
    "MDSE-PARITY-006": "On whole slides an engine does not decide like the original.",
    "MDSE-PARITY-007": "On whole slides the scores of an engine are not those of the original.",
    "MDSE-PARITY-008": "This machine does not read the pixels of cells as an independent decoder does.",
    "MDSE-PARITY-009": "The network calls types of labelled cells by each other's names.",
    "MDSE-PARITY-010": "A network file does not hold the weights of the network.",
    "MDSE-PARITY-011": "The network that was prepared for int8 does not compute what the original computes.",
    "MDSE-PARITY-012": "A network file does not hold the biases of the network.",
}


def words_of_refusal(refusal: EdgeError, parity: Mapping[str, Any]) -> str:
    """Return what the refusal means and what had been compared, by the parity.json of what there was until then.

    Raises KeyError for a code that refuses no conversion.
    """
    return " ".join((_MEANINGS[refusal.code], _compared(refusal, parity), "No bundle was written."))


def _compared(refusal: EdgeError, parity: Mapping[str, Any]) -> str:
    if parity["engine"] == NO_ENGINE:
        if parity.get("quantization", {}).get("refused_before") is None:
            return "The conversion stopped before an engine was compared with the original."
        return "Only int8 was compared with the original: it was refused, and the conversion stopped before the next."
    if refusal.code in _OF_AN_ENGINE:
        return "The engines that were compared are below."
    return "The engines below were compared with the original on cells before, and none of them was refused."
