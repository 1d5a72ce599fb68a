"""Cells painted in one colour each, and what the painted network computes from them, in NumPy alone."""

from __future__ import annotations

import numpy as np

from edge.catalogue import load_catalogue

CATALOGUE = load_catalogue()
SIZE_PX = 32
EMBEDDING = 3


def colour_of(type_code: str, *, findings: bool = False) -> tuple[int, int, int]:
    """The RGB colour that the painted network takes for a cell of this type."""
    place = CATALOGUE.type_codes.index(type_code)
    return 20 + 50 * (place % 5), 20 + 60 * (place // 5), 250 if findings else 5


def painted_cell(type_code: str, *, findings: bool = False, size_px: int = 48) -> np.ndarray:
    return np.full((size_px, size_px, 3), colour_of(type_code, findings=findings), np.uint8)


def painted_outputs(images: np.ndarray) -> dict[str, np.ndarray]:
    """What the painted network computes, in NumPy: the reference for golden cells and for the fake engine."""
    embedding = (images.astype(np.float64) / 255).mean(axis=(1, 2))
    anchors = np.array([colour_of(code)[:2] for code in CATALOGUE.type_codes]) / 255
    logits = 400 * (2 * embedding[:, :2] @ anchors.T - (anchors**2).sum(axis=1))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    findings = 1 / (1 + np.exp(10 - 20 * embedding[:, 2:])) * np.ones((1, len(CATALOGUE.findings)))
    outputs = {"cell_type": powers / powers.sum(axis=1, keepdims=True), "findings": findings, "embedding": embedding}
    return {name: values.astype(np.float32) for name, values in outputs.items()}
