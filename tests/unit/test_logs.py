"""Log lines: one line an event, no forged lines, no ids above DEBUG."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import EdgeError
from edge.logs import CONFIDENTIAL_KEYS, LINE_CHARACTERS_MAX, configure_logging, log_error, log_event

LOGGER = logging.getLogger("edge.test")


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = tuple(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(*, level: int = logging.INFO, key: bytes = b"k" * 32) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level, stream=stream, key=key)
    return stream


@pytest.mark.parametrize(("level", "priority"), [(10, 7), (20, 6), (25, 6), (30, 4), (40, 3), (50, 2), (60, 2)])
def test_every_line_bears_the_priority_that_journald_reads(level: int, priority: int) -> None:
    stream = lines(level=logging.DEBUG)
    log_event(LOGGER, level, "slide-spooled", "copied into the spool", images=110)
    assert stream.getvalue() == f'<{priority}>slide-spooled images=110 text="copied into the spool"\n'


@pytest.mark.case("S11")
@pytest.mark.parametrize("name", sorted(CONFIDENTIAL_KEYS))
def test_ids_are_pseudonyms_above_debug_and_readable_at_debug(name: str) -> None:
    stream = lines()
    log_event(LOGGER, logging.INFO, "event", "happened", **{name: "A0042"})
    assert "A0042" not in stream.getvalue()
    assert f"{name}=~" in stream.getvalue()
    stream = lines(level=logging.DEBUG)
    log_event(LOGGER, logging.INFO, "event", "happened", **{name: "A0042"})
    assert f"{name}=A0042" in stream.getvalue()


@pytest.mark.case("S11")
def test_one_id_has_one_pseudonym_in_a_process_and_another_under_another_key() -> None:
    seen = set()
    for key in (b"k" * 32, b"k" * 32, b"q" * 32):
        stream = lines(key=key)
        log_event(LOGGER, logging.INFO, "event", "happened", slide="A0042")
        seen.add(stream.getvalue())
    assert len(seen) == 2


@pytest.mark.case("S11")
def test_an_error_is_logged_with_its_code_and_words_but_without_the_place() -> None:
    stream = lines()
    log_error(LOGGER, EdgeError("MDSE-DELIVERY-001", where="/srv/drop/A0042.hl7", reason="open '/srv/A0042': gone"))
    line = stream.getvalue()
    assert line.startswith("<3>MDSE-DELIVERY-001 where=~")
    assert "the output folder cannot be used now: open ~" in line
    assert "A0042" not in line


@pytest.mark.case("S11")
def test_a_fact_of_an_error_that_nobody_declared_harmless_is_a_pseudonym() -> None:
    stream = lines()
    log_error(LOGGER, EdgeError("MDSE-DELIVERY-005", where="/srv/drop", expected="A0042"))
    assert "A0042" not in stream.getvalue()
    assert "expected identity ~" in stream.getvalue()


@pytest.mark.case("S11")
def test_a_reason_that_repeats_an_error_about_a_slide_keeps_its_code_alone() -> None:
    first = EdgeError("MDSE-IMAGE-006", where="wbc/A0042_0001.jpg", reason="premature end")
    error = EdgeError("MDSE-SLIDE-008", where="A0042_S1", refused=9, images=10, reason=str(first))
    stream = lines()
    log_error(LOGGER, error)
    assert "A0042" not in stream.getvalue()
    assert "the first: MDSE-IMAGE-006 ~" in stream.getvalue()
    stream = lines(level=logging.DEBUG)
    log_error(LOGGER, error)
    assert "wbc/A0042_0001.jpg" in stream.getvalue()


def test_a_reason_that_repeats_an_error_about_the_bundle_stays_readable() -> None:
    stream = lines()
    first = EdgeError("MDSE-BUNDLE-005", where="cells.onnx")
    log_error(LOGGER, EdgeError("MDSE-DAEMON-002", where="/srv/bundle", reason=str(first)))
    assert "the bundle cannot be used: MDSE-BUNDLE-005 cells.onnx: " in stream.getvalue()


def test_an_error_about_the_configuration_is_readable_in_full() -> None:
    stream = lines()
    log_error(LOGGER, EdgeError("MDSE-CONFIG-001", where="/etc/mds-edge.toml", reason="No such file"))
    assert "cannot be read: No such file." in stream.getvalue()


@pytest.mark.case("S11")
def test_an_unforeseen_error_shows_where_it_came_from_and_hides_what_it_says() -> None:
    stream = lines()
    try:
        raise KeyError("A0042")
    except KeyError:
        LOGGER.exception("unforeseen")
    assert "A0042" not in stream.getvalue()
    assert "KeyError ~" in stream.getvalue()
    assert "test_logs.py:" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.case("S11")
def test_what_a_library_quotes_is_a_pseudonym_too() -> None:
    stream = lines()
    logging.getLogger("watchdog").warning("cannot watch '/srv/export/A0042'")
    assert "A0042" not in stream.getvalue()
    assert "cannot watch ~" in stream.getvalue()


@pytest.mark.case("S6")
@given(st.text(), st.text(), st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_no_text_ends_its_line_or_colours_a_terminal(code: str, text: str, facts: dict[str, str]) -> None:
    stream = lines(level=logging.DEBUG)
    LOGGER.info("%s", text, extra={"code": code, "facts": facts})
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert len(line) <= LINE_CHARACTERS_MAX + 5


@pytest.mark.case("S6")
def test_a_value_cannot_pose_as_another_key() -> None:
    stream = lines()
    log_event(LOGGER, logging.INFO, "event", "x", source='di60" state=SENT text="all is well')
    assert ' source="di60\\" state=SENT text=\\"all is well" ' in stream.getvalue()


def test_a_level_below_the_configured_one_is_silent() -> None:
    stream = lines()
    log_event(LOGGER, logging.DEBUG, "event", "x")
    assert stream.getvalue() == ""
