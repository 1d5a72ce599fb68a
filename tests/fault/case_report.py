"""A pytest plugin: which test stands for which numbered case, and whether it ran. `-p tests.fault.case_report`.

Writes {node: {"cases": [...], "outcome": "passed" | "failed" | "skipped"}} to the file that MDS_EDGE_CASE_REPORT names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_found: dict[str, dict[str, object]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        cases = sorted({str(mark.args[0]) for mark in item.iter_markers("case")})
        if cases:
            _found[item.nodeid] = {"cases": cases, "outcome": "not run"}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    entry = _found.get(report.nodeid)
    if entry is not None and (report.when == "call" or report.outcome != "passed"):
        entry["outcome"] = report.outcome


def pytest_sessionfinish() -> None:
    Path(os.environ["MDS_EDGE_CASE_REPORT"]).write_text(json.dumps(_found, indent=1))
