"""The acceptance test of a site, with a real daemon and the simulated LIS as the other side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.commands.result import main as edge_result
from edge.commands.validate_site import main
from edge.daemon import control_client
from tests.fault.site import DEADLINE_S, REPOSITORY, Site


@pytest.fixture
def site_with(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    ends: list[Callable[[], object]] = []

    def build(ack: str, *lis: str, formats: tuple[str, ...] = ("hl7",)) -> Site:
        site = Site(tmp_path, formats=formats, ack=ack)
        (tmp_path / "ack").mkdir()
        site.config.write_text(
            site.config.read_text().replace('ack = "ack-file"', f'ack = "ack-file"\nack_path = "{tmp_path}/ack"')
        )
        site.start()
        ends.append(site.close)
        site.wait_ready()
        if lis:
            command = [sys.executable, "-m", "edge.commands.lis_simulator", "--drop", str(site.drop(formats[0])), *lis]
            other = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
            ends.append(lambda: (other.send_signal(signal.SIGTERM), other.wait(DEADLINE_S)))
        return site

    yield build
    for end in ends[::-1]:
        end()


def validate(site: Site, capsys: Any, *more: str) -> tuple[int, dict[str, Any]]:
    arguments = ["--by", "K. Sato", "--sample", "000TEST1", "--config", str(site.config), "--json", *more]
    status = main(arguments)
    return status, json.loads(capsys.readouterr().out)


def outcomes(checklist: dict[str, Any]) -> list[str]:
    return [check["outcome"] for check in checklist["checks"] if check["seen"]]


def test_a_receiver_that_answers_is_confirmed_and_sees_a_test(site_with: Any, tmp_path: Path, capsys: Any) -> None:
    site = site_with("ack-file", "--ack", str(tmp_path / "ack"))
    page, document = tmp_path / "a.html", tmp_path / "a.md"
    status, checklist = validate(site, capsys, "--html", str(page), "--markdown", str(document))
    assert (status, outcomes(checklist)) == (0, ["yes"])
    assert checklist["expected"]["sample"] == "000TEST1"
    (published,) = site.results("hl7")
    content = published.read_bytes()
    assert b"|T|2.5.1" in content
    assert b"|000TEST1^" in content
    assert b"41.0|%" in content
    assert checklist["expected"]["Segmented neutrophil"] == "41.0 %"
    for text in (page.read_text(), document.read_text()):
        assert "the receiver accepted it" in text
        assert "signature" in text
        assert "41.0 %" in text
    assert "http" not in page.read_text()
    assert site.ask("verify-audit")["ok"]


def test_corrections_are_sent_as_revisions_and_the_test_ends_withdrawn(site_with: Any, capsys: Any) -> None:
    site = site_with("none", formats=("json", "hl7"))
    status, checklist = validate(site, capsys, "--corrections")
    assert (status, checklist["outcome"]) == (6, "by hand")
    assert outcomes(checklist) == ["by hand"] * 6
    records = [json.loads(path.read_bytes()) for path in site.results("json")]
    assert sorted((r["revision"], r["status"], r["mode"]) for r in records) == [
        (1, "P", "T"),
        (2, "F", "T"),
        (3, "W", "T"),
    ]
    assert len(site.results("hl7")) == 3


def test_a_refusal_is_told_with_the_words_of_the_receiver(site_with: Any, tmp_path: Path, capsys: Any) -> None:
    site = site_with("ack-file", "--ack", str(tmp_path / "ack"), "--refuse", "TEST1")
    status, checklist = validate(site, capsys)
    assert (status, outcomes(checklist)) == (5, ["no"])
    assert "refused as this simulator was told to" in checklist["checks"][0]["seen"]
    assert edge_result(["open", "--config", str(site.config)]) == 0
    printed = capsys.readouterr().out
    assert "REFUSED" in printed
    assert "refused as this simulator was told to" in printed


def test_a_receiver_that_is_not_there_waits(site_with: Any, capsys: Any) -> None:
    site = site_with("file-gone")
    status, checklist = validate(site, capsys, "--wait-s", "2.5")
    assert (status, outcomes(checklist)) == (75, ["waits"])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [("drop path", ["no", "no"]), ("second output", ["no", "yes"]), ("one output less", ["no", "yes"])],
)
def test_a_configuration_that_is_not_in_force_is_never_accepted(
    site_with: Any, capsys: Any, tmp_path: Path, changed: str, expected: list[str]
) -> None:
    formats = ("hl7", "json") if changed == "one output less" else ("hl7",)
    site = site_with("file-gone", "--delete", "--reader", "mirth", formats=formats)
    (tmp_path / "drop-other").mkdir()
    text = site.config.read_text()
    second = f'[[output]]\nformat = "lis2"\npath = "{tmp_path}/drop-other"\nack = "file-gone"\n[limits]'
    json_output = f'[[output]]\nformat = "json"\npath = "{tmp_path}/drop-json"\nack = "file-gone"'
    edited = {
        "drop path": text.replace("/drop-hl7", "/drop-other"),
        "second output": text.replace("[limits]", second),
        "one output less": text.replace(json_output, ""),
    }[changed]
    assert edited != text
    site.config.write_text(edited)
    status, checklist = validate(site, capsys)
    assert (status, sorted(outcomes(checklist))) == (5, expected)


def test_a_daemon_that_no_longer_says_what_became_of_the_test_is_no_success(
    site_with: Any, capsys: Any, monkeypatch: Any
) -> None:
    site = site_with("none")
    ask = control_client.reply_from_daemon

    def forgetful(socket: Path, request: Any) -> Any:
        if request["command"] == "show":
            return {"ok": False, "error": "MDSE-DAEMON-011 no such slide"}
        return ask(socket, request)

    monkeypatch.setattr(control_client, "reply_from_daemon", forgetful)
    status, checklist = validate(site, capsys)
    assert (status, outcomes(checklist)) == (5, ["no"])
    assert "no such slide" in checklist["checks"][0]["seen"]


def test_a_receiver_that_takes_files_is_confirmed(site_with: Any, capsys: Any) -> None:
    site = site_with("file-gone", "--delete", "--reader", "mirth")
    assert validate(site, capsys)[0] == 0


def test_a_senaite_type_receiver_is_confirmed_by_its_index(site_with: Any, capsys: Any) -> None:
    site = site_with("senaite-index", "--reader", "senaite", formats=("json",))
    status, checklist = validate(site, capsys)
    assert (status, outcomes(checklist)) == (0, ["yes"])
    assert "imported.csv" in checklist["checks"][0]["seen"]


def test_no_slide_of_the_site_is_touched_by_a_test(site_with: Any, capsys: Any) -> None:
    site = site_with("none", formats=("json",))
    for _ in range(2):
        validate(site, capsys)
    assert site.stop() == 0
    site.start()
    site.wait_ready()
    status = site.ask("status")
    assert status["slides"]["CLOSED"] == 2
    assert status["oldest_without_result_s"] == 0
    assert len({path.name for path in site.results()}) == 2


def test_a_signed_checklist_is_never_overwritten_and_a_wrong_sample_is_refused(
    site_with: Any, tmp_path: Path, capsys: Any
) -> None:
    site = site_with("none", formats=("json",))
    with pytest.raises(SystemExit) as ended:
        main(["--by", "K", "--sample", "1", "--config", str(site.config), "--html", str(site.config)])
    assert ended.value.code == 2
    assert main(["--by", "K", "--sample", "a|b", "--config", str(site.config)]) == 2
    assert site.results() == []


def test_a_receiver_behind_mllp_is_confirmed_and_its_refusal_is_told(
    site_with: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "door").mkdir()
    command = [sys.executable, "-m", "edge.commands.lis_simulator", "--drop", str(tmp_path / "door"), "--listen", "0",
               "--refuse", "REFUSE"]  # fmt: skip
    lis = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert lis.stderr is not None
    port = lis.stderr.readline().rpartition(b":")[2].strip().decode()
    site = site_with("ack-file")
    sender = subprocess.Popen(
        [sys.executable, "-m", "edge.commands.mllp", "--drop", str(site.drop("hl7")), "--ack", str(tmp_path / "ack"),
         "--to", f"127.0.0.1:{port}", "--poll-s", "0.1"], cwd=REPOSITORY, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert validate(site, capsys)[0] == 0
        arguments = ["--by", "K. Sato", "--sample", "REFUSE1", "--config", str(site.config)]
        assert main(arguments) == 5
        assert "AE refused as this simulator was told to" in capsys.readouterr().out
    finally:
        for process in (sender, lis):
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
