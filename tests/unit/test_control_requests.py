"""Whatever JSON comes over the control socket gets an answer, and never ends the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from decided_slides import Laboratory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.daemon.control import ControlServer
from edge.daemon.requests import COMMANDS, answer_request

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["A1", "row:1", "A1.R1", "x", "K. Sato"])
FIELDS = {
    "command": st.sampled_from(COMMANDS) | VALUES, "state": st.sampled_from(["HELD", "SEEN"]) | VALUES,
    "limit": VALUES, "slide": NAMES | VALUES, "by": NAMES | VALUES, "reason": NAMES | VALUES, "sample": NAMES | VALUES,
}  # fmt: skip


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path_factory.mktemp("site"))
    made.reported()
    yield made
    made.books.journal.close()


def reply_to(laboratory: Laboratory, request: Any) -> dict[str, Any]:
    """Answer one line as the socket does."""
    server = ControlServer.__new__(ControlServer)
    server._answer = lambda asked, uid: answer_request(laboratory.books, asked, uid=uid)
    reply = json.loads(server._reply(json.dumps(request).encode(), 1))
    assert isinstance(reply, dict)
    return reply


@example({"command": []})
@example({"command": {"a": 1}})
@example({"command": "list", "state": ["HELD"]})
@example({"command": "list", "state": {}})
@example({"command": "list", "limit": 10**30})
@example({"command": "show", "slide": "\ud800"})
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_any_json_in_any_field_gets_an_answer(laboratory: Laboratory, request: dict[str, Any]) -> None:
    reply = reply_to(laboratory, request)
    assert isinstance(reply["ok"], bool)
    assert reply["ok"] or reply["error"]


@pytest.mark.parametrize("request_", [{"command": []}, {"command": 7}, {"command": "list", "state": ["HELD"]}])
def test_a_command_or_state_that_is_no_text_is_refused_as_unknown(laboratory: Laboratory, request_: Any) -> None:
    assert reply_to(laboratory, request_)["code"] == "MDSE-DAEMON-012"
