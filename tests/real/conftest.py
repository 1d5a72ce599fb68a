"""The bundle that acceptance runs on: the demo bundle of this checkout, or the one that MDS_EDGE_TEST_BUNDLE names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from tests.real.real_site import TestedBundle

# The records and the states of the report that the unit tests are made of are looked at in a browser here.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))


@pytest.fixture(scope="session")
def bundle() -> TestedBundle:
    """The demo bundle with its public key; a rehearsal bundle has a key only when MDS_EDGE_TEST_PUBLIC_KEY names it."""
    named = os.environ.get("MDS_EDGE_TEST_BUNDLE")
    if named:
        key = os.environ.get("MDS_EDGE_TEST_PUBLIC_KEY")
        return TestedBundle(Path(named).resolve(), Path(key).resolve() if key else None)
    if not (DEMO_BUNDLE / "manifest.json").is_file():
        pytest.skip("edge/demo/bundle is not in this checkout (set MDS_EDGE_TEST_BUNDLE to run on another bundle)")
    return TestedBundle(DEMO_BUNDLE, DEMO_PUBLIC_KEY)
