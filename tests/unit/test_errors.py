"""The error catalogue is complete, and every message says what, where and what to do."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from edge.errors import EdgeError, error_catalogue, printable, run_command

EXIT_STATUSES = {2, 3, 4, 5, 70, 75, 78}


def raised_errors(repository: Path) -> list[tuple[Path, int, str, set[str] | None]]:
    """Return (file, line, code, facts) of every EdgeError in the sources; facts None where `**facts` is passed on."""
    found = []
    for path in [*repository.glob("edge/**/*.py"), *repository.glob("convert/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "EdgeError" and node.args):
                continue
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                names = {keyword.arg for keyword in node.keywords}
                facts = None if None in names else {name for name in names if name and name != "where"}
                found.append((path, node.lineno, node.args[0].value, facts))
    return found


def test_every_code_that_the_sources_raise_is_in_the_catalogue_with_exactly_the_facts_it_needs(repository):
    catalogue = error_catalogue()
    raised = raised_errors(repository)
    assert len(raised) > 50
    for path, line, code, facts in raised:
        assert code in catalogue, f"{path}:{line} raises {code}, which errors.toml does not list"
        needed = {
            field
            for text in (catalogue[code].what, catalogue[code].remedy)
            for _, field, _, _ in string.Formatter().parse(text)
            if field
        }
        assert facts is None or needed <= facts, f"{path}:{line} {code} lacks {needed - facts}"


def test_every_entry_has_a_code_of_a_part_a_cause_a_remedy_and_a_known_exit_status():
    for code, entry in error_catalogue().items():
        assert re.fullmatch(r"MDSE-[A-Z]+-\d{3}", code)
        assert entry.cause.endswith(".")
        assert entry.remedy.endswith(".")
        assert entry.exit_status in EXIT_STATUSES


def test_no_entry_is_left_that_nothing_mentions(repository):
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("edge", "convert")
        for path in (repository / folder).glob("**/*.py")
    )
    assert [code for code in error_catalogue() if code not in sources] == []


def test_every_code_that_the_documents_name_is_in_the_catalogue(repository):
    for path in [*repository.glob("*.md"), *repository.glob("docs/**/*.md")]:
        named = re.findall(r"MDSE-[A-Z]+-\d{3}", path.read_text(encoding="utf-8"))
        assert set(named) <= set(error_catalogue()), f"{path} names a code that errors.toml does not list"


def test_a_message_gives_code_place_what_and_remedy_in_one_line():
    error = EdgeError("MDSE-CATALOGUE-001", where="catalogue.json", reason="a code\nappears twice")
    text = str(error)
    assert text.startswith("MDSE-CATALOGUE-001 catalogue.json: ")
    assert "a code\\nappears twice" in text
    assert "Rebuild the bundle" in text
    assert "\n" not in text


def test_an_unknown_code_and_a_missing_fact_fail_at_once():
    with pytest.raises(KeyError):
        EdgeError("MDSE-NOTHING-999")
    with pytest.raises(KeyError):
        EdgeError("MDSE-CATALOGUE-001")


def test_control_characters_never_reach_a_terminal_or_a_log():
    assert printable("a\x1b[31mred\r\n\ud800") == "a\\x1b[31mred\\r\\n\\ud800"


def test_a_command_prints_one_line_and_returns_the_status_of_the_error(capsys):
    def body() -> int:
        raise EdgeError("MDSE-CATALOGUE-001", where="here", reason="of this")

    assert run_command(body) == 4
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("unforeseen", [ValueError("a wrong turn"), OSError(5, "Input/output error"), RecursionError()])
def test_an_unforeseen_error_ends_with_70_and_keeps_its_traceback(capsys, unforeseen):
    def body() -> int:
        raise unforeseen

    assert run_command(body) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in body" in said
    assert said.splitlines()[-1].startswith("error: not foreseen")


def test_an_end_that_was_asked_for_keeps_its_own_status():
    def body() -> int:
        raise SystemExit(2)

    with pytest.raises(SystemExit) as ended:
        run_command(body)
    assert ended.value.code == 2


def test_systemd_starts_the_daemon_again_after_an_unforeseen_error(repository):
    unit = (repository / "systemd" / "mds-edge.service").read_text(encoding="utf-8")
    assert "\nRestart=always\n" in unit
    (never,) = re.findall(r"^RestartPreventExitStatus=(.+)$", unit, re.MULTILINE)
    assert "70" not in never.split()
