"""A new cell lies among its nearest reference cells, and an atlas that does not fit itself or its bundle is refused."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.atlas import Atlas, atlas_from_bundle
from edge.errors import EdgeError

WIDTH, RANK, COUNT = 12, 4, 30


def arrays(seed: int = 1, count: int = COUNT) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "mean": draw.normal(size=WIDTH).astype(np.float32),
        "components": np.linalg.qr(draw.normal(size=(WIDTH, RANK)))[0].astype(np.float32),
        "reference": draw.normal(size=(count, RANK)).astype(np.float16),
        "points": draw.normal(scale=20, size=(count, 2)).astype(np.float32),
        "types": draw.integers(0, 17, count).astype(np.uint8),
    }


def bundle_with(content: dict[str, np.ndarray] | None, *, embedding_dim: int = WIDTH):
    stream = io.BytesIO()
    np.savez(stream, **(content or {}))
    decision = SimpleNamespace(atlas=None if content is None else "decision/atlas.npz")
    manifest = SimpleNamespace(decision=decision, embedding_dim=embedding_dim, types=("T",) * 17)
    return SimpleNamespace(manifest=manifest, read=lambda name: stream.getvalue())


def embedding_of(atlas: Atlas, reduced: np.ndarray) -> np.ndarray:
    """Embeddings that reduce to these points: the components are orthonormal."""
    return (reduced @ atlas.components.T + atlas.mean).astype(np.float32)


def test_a_reference_cell_is_placed_where_it_is():
    atlas = Atlas(**arrays())
    placed = atlas.placed_cells(embedding_of(atlas, atlas.reference.astype(np.float32)))
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed, atlas.points, atol=0.1)


def test_a_cell_between_two_references_is_drawn_to_the_nearer_one():
    content = arrays(count=2)
    content["reference"] = np.array([[0, 0, 0, 0], [4, 0, 0, 0]], np.float16)
    content["points"] = np.array([[0, 0], [40, 0]], np.float32)
    atlas = Atlas(**content)
    placed = atlas.placed_cells(embedding_of(atlas, np.array([[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]], np.float32)))
    # Weights 1/1 and 1/3: a quarter of the way.
    np.testing.assert_allclose(placed, [[10, 0], [20, 0], [30, 0]], atol=1e-3)


def test_only_the_five_nearest_references_count():
    content = arrays(count=6)
    content["reference"] = np.array([[1, 0, 0, 0]] * 5 + [[9, 0, 0, 0]], np.float16)
    content["points"] = np.array([[3, 4]] * 5 + [[1000, 1000]], np.float32)
    atlas = Atlas(**content)
    np.testing.assert_allclose(
        atlas.placed_cells(embedding_of(atlas, np.zeros((1, 4), np.float32))), [[3, 4]], atol=1e-3
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cells=st.integers(0, 20), scale=st.floats(1e-3, 1e3))
def test_every_cell_lies_within_the_box_of_the_references(seed, cells, scale):
    atlas = Atlas(**arrays(seed))
    embedding = np.random.default_rng(seed).normal(scale=scale, size=(cells, WIDTH)).astype(np.float32)
    placed = atlas.placed_cells(embedding)
    assert placed.shape == (cells, 2)
    assert (placed >= atlas.points.min(axis=0) - 1e-3).all()
    assert (placed <= atlas.points.max(axis=0) + 1e-3).all()


def test_the_atlas_of_a_bundle_is_read_as_it_was_written():
    atlas = atlas_from_bundle(bundle_with(arrays()))
    for name, array in arrays().items():
        np.testing.assert_array_equal(getattr(atlas, name), array)


def test_a_bundle_without_an_atlas_has_none():
    assert atlas_from_bundle(bundle_with(None)) is None


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("mean", np.zeros(WIDTH - 1, np.float32)),
        ("components", np.zeros((WIDTH, RANK + 1), np.float32)),
        ("points", np.zeros((COUNT, 3), np.float32)),
        ("points", np.full((COUNT, 2), np.nan, np.float32)),
        ("types", np.zeros(COUNT - 1, np.uint8)),
        ("types", np.full(COUNT, 17, np.uint8)),
        ("types", np.zeros(COUNT, np.int64)),
        ("reference", np.zeros((COUNT, RANK), np.float32)),
    ],
)
def test_an_atlas_whose_arrays_do_not_fit_is_refused(name, array):
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-011 decision/atlas\.npz"):
        atlas_from_bundle(bundle_with({**arrays(), name: array}))


def test_an_atlas_of_another_network_is_refused():
    with pytest.raises(EdgeError, match="embedding's width"):
        atlas_from_bundle(bundle_with(arrays(), embedding_dim=WIDTH + 1))


def test_an_atlas_of_more_cells_than_a_page_can_show_is_refused():
    with pytest.raises(EdgeError, match="1501 cells"):
        atlas_from_bundle(bundle_with(arrays(count=1501)))


def test_an_embedding_of_another_width_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Atlas(**arrays()).placed_cells(np.zeros((1, WIDTH + 1), np.float32))
