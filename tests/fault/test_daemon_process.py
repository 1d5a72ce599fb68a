"""The daemon as a real process with real children: what arrives, what goes wrong, what it does about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.audit import verify_audit
from tests.fault.site import REPOSITORY, Site, findings_of, jpeg_like, write_slide

CLEAN = dict.fromkeys(
    ("lost", "duplicate", "torn", "not_closed", "without_record", "unrecorded", "temporary_files", "audit_broken",
     "journal_damaged"), 0
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(site: Site) -> Site:
    site.start()
    site.wait_ready()
    return site


def decided(site: Site, command: str, slide_key: str) -> dict:
    return site.ask(command, slide=f"di60/{slide_key}", by="K. Sato", reason="because")


def record_of(path: Path) -> dict:
    return json.loads(path.read_bytes())


@pytest.mark.case("A14")
def test_a_slide_becomes_one_result_and_the_same_slide_again_nothing(running: Site) -> None:
    folder = write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    for file in folder.iterdir():
        os.utime(file)
    write_slide(
        running.export, "A2", contents=tuple(p.read_bytes() for p in sorted(folder.glob("*.jpg"))), sample_id="S-A1"
    )
    running.wait_state("A2", "DUPLICATE")
    write_slide(running.export, "A3")
    running.wait_state("A3", "CLOSED")
    assert [record_of(p)["slide"]["slide_key"] for p in running.results()] == ["A1", "A3"]
    assert running.stop() == 0
    assert findings_of(running, ["A1", "A3"]) == CLEAN


def test_the_result_names_slide_files_and_revision(running: Site) -> None:
    write_slide(running.export, "A1", sample_id="0042")
    running.wait_state("A1", "CLOSED")
    (path,) = running.results()
    record = record_of(path)
    shown = running.ask("show", slide="A1")
    assert record["slide"]["sample_id"] == "0042"
    assert record["revision"] == 1
    assert record["slide"]["manifest_sha256"] == shown["slide"]["manifest_sha256"]
    assert record["message_id"] == shown["slide"]["idempotency_key"][:12].upper() + ".R1"
    assert path.stat().st_size == shown["revisions"][0]["deliveries"][0]["size"]


@pytest.mark.case("A3")
def test_late_files_are_held_until_a_person_releases_them_as_a_revision(running: Site) -> None:
    folder = write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    (folder / "9999.jpg").write_bytes(jpeg_like("late"))
    running.wait_state("A1", "LATE")
    assert len(running.results()) == 1
    assert decided(running, "release", "A1")["state"] == "SPOOLED"
    running.wait_state("A1", "CLOSED")
    first, second = (record_of(path) for path in running.results())
    assert (second["revision"], second["supersedes"], second["reason"]) == (2, first["message_id"], "because")
    assert second["images"] == first["images"] + 1


@pytest.mark.case("B15")
def test_a_slide_without_a_sample_id_is_held_and_goes_on_when_it_gets_one(running: Site) -> None:
    folder = write_slide(running.export, "A1", sample_id=None)
    running.wait_state("A1", "HELD")
    reply = decided(running, "release", "A1")
    assert (reply["ok"], reply["code"]) == (False, "MDSE-JOURNAL-009")
    (folder / "slide.json").write_text('{"sample_id": "S9"}')
    running.wait_state("A1", "CLOSED")
    assert record_of(running.results()[0])["slide"]["sample_id"] == "S9"


@pytest.mark.case("B18")
def test_the_same_images_under_another_sample_id_are_held(running: Site) -> None:
    folder = write_slide(running.export, "A1", sample_id="S1")
    running.wait_state("A1", "CLOSED")
    write_slide(
        running.export, "A2", sample_id="S2", contents=tuple(p.read_bytes() for p in sorted(folder.glob("*.jpg")))
    )
    running.wait_state("A2", "HELD")
    assert len(running.results()) == 1
    assert decided(running, "release", "A2")["ok"]
    running.wait_state("A2", "CLOSED")
    assert len(running.results()) == 2


@pytest.mark.case("C2")
@pytest.mark.case("C9")
def test_slides_that_break_the_worker_are_quarantined_and_the_others_go_on(running: Site) -> None:
    for name, word in (("CRASHES", b"CRASH"), ("FAILS", b"FAULT"), ("REFUSED", b"REJECT")):
        write_slide(running.export, name, contents=(word,))
    write_slide(running.export, "GOOD")
    running.wait_state("GOOD", "CLOSED")
    for name, attempts in (("CRASHES", 3), ("FAILS", 3), ("REFUSED", 1)):
        running.wait_state(name, "QUARANTINED")
        audit = running.ask("show", slide=name)["audit"]
        begun = [row for row in audit if row["action"] == "attempt begun" and row["old"] == "SPOOLED"]
        assert len(begun) == attempts
    aside = {}
    for folder in (running.root / "state" / "quarantine").glob("*/*"):
        reason = json.loads((folder / "reason.json").read_bytes())
        assert reason["code"].startswith("MDSE-")
        aside[reason["slide_key"]] = (folder / "files" / "0000.jpg").read_bytes()
    assert aside == {"CRASHES": b"CRASH", "FAILS": b"FAULT", "REFUSED": b"REJECT"}
    assert any(alarm["name"] == "slides-QUARANTINED" for alarm in running.ask("status")["alarms"])
    assert running.stop() == 0
    assert findings_of(running, ["GOOD"]) == CLEAN


@pytest.mark.case("C5")
def test_a_worker_that_hangs_is_killed_at_its_budget_and_replaced(tmp_path: Path) -> None:
    site = Site(tmp_path, worker_budget_s=1, attempts=1)
    try:
        site.start()
        site.wait_ready()
        write_slide(site.export, "BAD", contents=(b"HANG",))
        site.wait_state("BAD", "QUARANTINED")
        write_slide(site.export, "GOOD")
        site.wait_state("GOOD", "CLOSED")
        assert site.ask("status")["restarts"]["worker"] == 1
    finally:
        site.close()


def test_a_crash_that_was_not_the_slides_fault_costs_nothing(running: Site, tmp_path: Path) -> None:
    mark = tmp_path / "crashed-once"
    write_slide(running.export, "A1", contents=(b"CRASH-ONCE " + os.fsencode(mark),))
    running.wait_state("A1", "CLOSED")
    assert mark.exists()
    assert len(running.results()) == 1


def test_a_quarantined_slide_can_be_tried_again(running: Site, tmp_path: Path) -> None:
    write_slide(running.export, "BAD", contents=(b"REJECT",))
    running.wait_state("BAD", "QUARANTINED")
    assert decided(running, "requeue", "BAD")["state"] == "SEEN"
    running.wait_state("BAD", "QUARANTINED")
    assert decided(running, "discard", "BAD")["state"] == "CLOSED"
    assert running.results() == []


@pytest.mark.case("D14")
def test_a_source_that_is_away_is_an_alarm_and_never_an_empty_folder(running: Site) -> None:
    write_slide(running.export, "WAITS", sample_id=None, cells=0)
    running.wait_state("WAITS", "SEEN")
    running.export.rename(running.root / "away")
    running.wait_for(lambda: running.ask("status")["sources"]["di60"]["away"], "the alarm")
    assert running.state_of("WAITS") == "SEEN"
    running.export.mkdir()  # an empty mount point in its place changes nothing
    time.sleep(1)
    assert running.ask("status")["sources"]["di60"]["away"]
    assert running.state_of("WAITS") == "SEEN"
    running.export.rmdir()
    (running.root / "away").rename(running.export)
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    assert not running.ask("status")["sources"]["di60"]["away"]


@pytest.mark.case("A19")
def test_a_folder_that_vanishes_before_it_was_read_is_recorded_so(running: Site) -> None:
    write_slide(running.export, "STAYS", cells=0)
    folder = write_slide(running.export, "GOES", cells=0)
    running.wait_state("GOES", "SEEN")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    running.wait_state("GOES", "VANISHED")
    assert running.state_of("STAYS") == "SEEN"


@pytest.mark.case("A10")
def test_an_incomplete_slide_is_held_with_the_reason_and_taken_when_complete(tmp_path: Path) -> None:
    site = Site(tmp_path, max_wait_s=2)
    try:
        site.start()
        site.wait_ready()
        folder = write_slide(site.export, "A1", cells=2, sample_id=None)
        (folder / "slide.json").write_text('{"sample_id": "S1", "expected": {"wbc": 3}}')
        site.wait_state("A1", "HELD")
        assert "2 of 3" in site.ask("show", slide="A1")["slide"]["reason_text"]
        (folder / "0002.jpg").write_bytes(jpeg_like("third"))
        site.wait_state("A1", "CLOSED")
        assert record_of(site.results()[0])["images"] == 3
    finally:
        site.close()


@pytest.mark.case("D2")
def test_an_output_that_cannot_be_written_stops_neither_the_other_output_nor_the_slides(tmp_path: Path) -> None:
    site = Site(tmp_path, formats=("json", "hl7"))
    try:
        site.drop("json").rename(tmp_path / "gone")
        site.start()
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_for(lambda: len(site.results("hl7")) == 1, "the other output has the result")
        assert site.state_of("A1") == "COMPUTED"
        assert any(alarm["name"].startswith("output-json") for alarm in site.ask("status")["alarms"])
        (tmp_path / "gone").rename(site.drop("json"))
        site.wait_state("A1", "CLOSED")
        assert len(site.results("json")) == len(site.results("hl7")) == 1
        assert site.stop() == 0
        assert findings_of(site, ["A1"]) == CLEAN
    finally:
        site.close()


@pytest.mark.case("L1")
def test_a_result_that_is_taken_away_is_collected_and_not_sent_again(tmp_path: Path) -> None:
    site = Site(tmp_path, ack="file-gone")
    try:
        site.start()
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_for(lambda: len(site.results()) == 1, "the result")
        site.results()[0].unlink()
        site.wait_for(lambda: site.ask("status")["deliveries"]["COLLECTED"] == 1, "collected")
        site.kill()
        site.start()
        site.wait_ready()
        write_slide(site.export, "A2")
        site.wait_for(lambda: len(site.results()) == 1, "the second result")
        assert record_of(site.results()[0])["slide"]["slide_key"] == "A2"
    finally:
        site.close()


@pytest.mark.case("D13")
def test_a_new_journal_sends_nothing_into_a_drop_folder_of_another_one(running: Site) -> None:
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    assert running.stop() == 0
    (running.root / "state").rename(running.root / "lost")
    running.start()
    running.wait_ready()
    running.wait_state("A1", "COMPUTED")
    running.wait_for(
        lambda: any("MDSE-DAEMON-015" in alarm["text"] for alarm in running.ask("status")["alarms"]), "the alarm"
    )
    assert len(running.results()) == 1


def test_final_withdrawn_and_repeated_results_need_no_worker(running: Site) -> None:
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    first = record_of(running.results()[0])
    for command, status in (("finalize", "F"), ("withdraw", "W")):
        reply = decided(running, command, "A1")
        assert (reply["ok"], reply["status"]) == (True, status)
    assert not decided(running, "finalize", "A1")["ok"]
    assert decided(running, "resend", "A1")["ok"]
    running.wait_for(lambda: len(running.results()) == 4, "four files")
    records = [record_of(path) for path in running.results()]
    assert sorted(r["status"] for r in records) == ["F", "P", "W", "W"]
    final = next(r for r in records if r["status"] == "F")
    changed = ("status", "revision", "supersedes", "reason", "message_id", "analysed_at")
    assert {k: v for k, v in final.items() if k not in changed} == {k: v for k, v in first.items() if k not in changed}
    withdrawn = [path for path, r in zip(running.results(), records, strict=True) if r["status"] == "W"]
    assert withdrawn[0].read_bytes() == withdrawn[1].read_bytes()


def test_analyzing_again_with_the_same_outcome_sends_nothing(running: Site) -> None:
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    assert decided(running, "reanalyze", "A1")["state"] == "SPOOLED"
    running.wait_state("A1", "CLOSED")
    assert "same outcome" in running.ask("show", slide="A1")["slide"]["reason_text"]
    assert len(running.results()) == 1


@pytest.mark.case("C13")
def test_a_second_daemon_ends_with_75_and_leaves_the_first_alone(running: Site) -> None:
    second = subprocess.run(
        running.command(), env=running.environment(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False
    )
    assert second.returncode == 75
    assert b"MDSE-DAEMON-001" in second.stderr
    assert running.answers()


def test_a_command_takes_the_lock_itself_when_no_daemon_runs(site: Site) -> None:
    site.start()
    site.wait_ready()
    write_slide(site.export, "BAD", contents=(b"REJECT",))
    site.wait_state("BAD", "QUARANTINED")
    site.stop()
    asked = [sys.executable, "-m", "edge.commands.journal", "discard", "BAD", "--config", str(site.config)]
    asked += ["--by", "K. Sato", "--reason", "test", "--json"]
    answer = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, timeout=60, check=True)
    assert json.loads(answer.stdout)["state"] == "CLOSED"
    connection = site.journal()
    actor = connection.execute("SELECT actor FROM audit ORDER BY seq DESC LIMIT 1").fetchone()[0]
    assert actor == f"uid:{os.getuid()} K. Sato"
    assert verify_audit(connection).broken_at is None
    connection.close()


@pytest.mark.case("S17")
def test_the_control_socket_is_for_owner_and_group_and_survives_nonsense(running: Site) -> None:
    import socket

    path = running.root / "run" / "s"
    assert path.stat().st_mode & 0o777 == 0o660
    for line in (b"nonsense\n", b"[]\n", b'{"command": "nothing"}\n', b"[" * 60_000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(line)
            assert json.loads(client.makefile("rb").readline())["ok"] is False
    idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for client in idle:
        client.connect(str(path))
    assert running.answers()
    for client in idle:
        client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.case("C3")
def test_a_stop_signal_ends_everything_quickly_and_counts_no_attempt(tmp_path: Path, number: signal.Signals) -> None:
    site = Site(tmp_path)
    try:
        site.start(MDS_EDGE_TEST_SECONDS="30")
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_for(lambda: site.ask("status")["in_work"] is not None, "the worker has it")
        children = site.children()
        assert site.process is not None
        site.process.send_signal(number)
        assert site.process.wait(20) == 0
        site.process = None
        assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())
        assert site.journal().execute("SELECT state, attempts FROM slides").fetchone() == ("SPOOLED", 0)
    finally:
        site.close()


@pytest.mark.case("C4")
def test_other_signals_change_nothing(running: Site) -> None:
    assert running.process is not None
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        running.process.send_signal(number)
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")


def test_children_do_not_outlive_a_killed_supervisor(running: Site) -> None:
    running.wait_for(lambda: len(running.children()) == 3, "three children")
    children = running.children()
    running.kill()
    running.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()), "all gone")


def test_the_metrics_say_how_long_the_oldest_slide_waits(running: Site) -> None:
    write_slide(running.export, "WAITS", cells=0)
    running.wait_state("WAITS", "SEEN")

    def told() -> bool:
        text = (running.root / "run" / "metrics.prom").read_text()
        return 'mds_edge_slides{state="SEEN"} 1' in text and "mds_edge_oldest_slide_without_result_seconds" in text

    running.wait_for(told, "the metrics file")


def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        site = Site(tmp_path)
        try:
            site.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000")
            heard = ""
            while "WATCHDOG=1" not in heard or "READY=1" not in heard:
                heard += systemd.recv(4096).decode() + "\n"
            assert site.stop() == 0
            systemd.settimeout(0.5)
            while "STOPPING=1" not in heard:
                heard += systemd.recv(4096).decode() + "\n"
        finally:
            site.close()


@pytest.mark.case("G8")
def test_a_demonstration_bundle_is_refused_without_allow_demo(tmp_path: Path) -> None:
    site = Site(tmp_path, test_analyzer="")
    (tmp_path / "bundle" / "manifest.json").write_text('{"intended_use": "demo"}')
    site.config.write_text(site.config.read_text().replace("allow_demo = true", "allow_demo = false"))
    for extra in ((), ("--check-config",)):
        ended = subprocess.run(
            site.command(*extra), env=site.environment(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False
        )
        assert ended.returncode == 78
        assert b"MDSE-DAEMON-003" in ended.stderr


def test_the_test_analyzer_is_refused_without_its_environment_variable(site: Site) -> None:
    environment = {name: value for name, value in site.environment().items() if name != "MDS_EDGE_TEST_ANALYZER"}
    ended = subprocess.run(
        site.command(), env=environment, cwd=REPOSITORY, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 78
    assert b"MDSE-DAEMON-009" in ended.stderr


@pytest.mark.case("C19")
def test_a_device_that_fails_leaves_the_cpu_and_every_result_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, device="gpu")
    try:
        site.start(MDS_EDGE_TEST_BROKEN_DEVICE="gpu")
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_state("A1", "CLOSED")
        assert record_of(site.results()[0])["provenance"]["degraded"] is True
        status = site.ask("status")
        assert status["model"]["degraded"]
        assert any(alarm["name"] == "degraded" for alarm in status["alarms"])
    finally:
        site.close()


def test_supervisor_and_scanner_refuse_executable_memory_and_the_worker_does_not_inherit_it() -> None:
    script = """
import ctypes, mmap, subprocess, sys
from edge.daemon.hardening import refuse_executable_memory
if not refuse_executable_memory():
    print("unknown"); sys.exit()
code = "import mmap; mmap.mmap(-1, 4096, prot=7); print('child may')"
try:
    mmap.mmap(-1, 4096, prot=7)
except PermissionError:
    print("refused")
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    if ended.stdout.startswith("unknown"):
        pytest.skip("this kernel does not know PR_SET_MDWE with NO_INHERIT (Linux 6.6)")
    assert ended.stdout.split("\n")[:2] == ["refused", "child may"]


@pytest.mark.case("C15")
def test_the_supervisor_loads_no_array_library(running: Site) -> None:
    assert running.process is not None
    mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
    for library in ("numpy", "cv2", "openvino", "cryptography", "xgboost", "treelite"):
        assert f"/{library}/" not in mapped


@pytest.mark.case("C11")
def test_ten_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    from tests.fault.random_kills import main

    assert main(["--kills", "10", "--keep", str(tmp_path), "--seed", "7", "--pause-s", "0.5"]) == 0


@pytest.mark.case("G4")
def test_a_changed_configuration_is_used_after_a_reload_and_a_faulty_one_never(running: Site) -> None:
    whole = running.config.read_text()
    running.config.write_text(whole.replace("quiet_s = 1", "quiet_s = -1"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(lambda: "config" in alarm_names(running), "the alarm of a faulty configuration")
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    (running.root / "drop-more").mkdir()
    more = f'[[output]]\nformat = "json"\npath = "{running.root}/drop-more"\nack = "none"\n'
    running.config.write_text(whole.replace("[limits]", f"{more}[limits]"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(lambda: running.answers() and len(running.ask("status")["outputs"]) == 2, "the second output")
    assert "config" not in alarm_names(running)
    write_slide(running.export, "A2")
    running.wait_state("A2", "CLOSED")
    assert len([p for p in (running.root / "drop-more").iterdir() if not p.name.startswith(".")]) == 1
    assert running.stop() == 0
    actions = [row[0] for row in running.journal().execute("SELECT action FROM audit")]
    assert actions.count("configuration refused") == 1
    assert actions.count("configuration read anew") == 1


def test_a_socket_that_cannot_be_made_is_found_before_the_reload_and_the_daemon_stays(running: Site) -> None:
    whole = running.config.read_text()
    running.config.write_text(whole.replace("/run/s", "/missing/s"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(lambda: "config" in alarm_names(running), "the alarm of a faulty configuration")
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")


def test_a_bundle_that_a_reload_brings_and_that_may_not_be_used_is_an_alarm_until_it_is_mended(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        (tmp_path / "bundle" / "version").write_text("2")
        site.start()
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_state("A1", "CLOSED")
        (tmp_path / "bundle" / "version").write_text("1")
        site.config.write_text(site.config.read_text().replace("attempts = 3", "attempts = 4"))
        site.process.send_signal(signal.SIGHUP)
        site.wait_for(lambda: "model" in alarm_names(site), "the alarm of an older bundle")
        write_slide(site.export, "A2")
        site.wait_state("A2", "SPOOLED")
        (tmp_path / "bundle" / "version").write_text("2")
        site.wait_state("A2", "CLOSED")
        assert "model" not in alarm_names(site)
        assert site.stop() == 0
    finally:
        site.close()


def alarm_names(site: Site) -> set[str]:
    return {alarm["name"] for alarm in site.ask("status")["alarms"]} if site.answers() else set()


@pytest.mark.case("D13")
def test_a_new_state_folder_adopts_what_was_delivered_before_and_sends_only_what_comes_then(running: Site) -> None:
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    assert running.stop() == 0
    (running.root / "state").rename(running.root / "lost")
    running.start()
    running.wait_ready()
    running.wait_for(lambda: running.state_of("A1") == "COMPUTED", "the slide looks new")
    reply = running.ask("adopt", by="K. Sato", reason="the disk was replaced; all of it was delivered")
    assert (reply["ok"], reply["drop_folders"]) == (True, 1)
    write_slide(running.export, "A2")
    running.wait_state("A2", "CLOSED")
    running.wait_state("A1", "CLOSED")
    assert [record_of(path)["slide"]["slide_key"] for path in running.results()] == ["A1", "A2"]
    account = running.ask("reconcile")
    assert (account["whole"], account["delivered"], account["discarded"]) == (True, 1, 1)


def test_stat_orders_are_analyzed_before_those_that_came_earlier(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.start(MDS_EDGE_TEST_SECONDS="0.5")
        site.wait_ready()
        names = [f"A{index}" for index in range(6)]
        for name in names:
            write_slide(site.export, name)
        folder = write_slide(site.export, "Z1")
        (folder / "slide.json").write_text('{"sample_id": "S-Z1", "priority": "STAT"}')
        for name in (*names, "Z1"):
            site.wait_state(name, "CLOSED")
        assert site.stop() == 0
        rows = site.journal().execute(
            "SELECT s.slide_key FROM revisions r JOIN slides s ON s.id = r.slide_id ORDER BY r.id"
        )
        assert [row[0] for row in rows].index("Z1") < 5
    finally:
        site.close()


def test_a_person_has_old_images_removed_at_once(running: Site) -> None:
    write_slide(running.export, "A1")
    running.wait_state("A1", "CLOSED")
    assert running.ask("purge", by="K. Sato", reason="the disk is full")["copies"] == 0
    assert running.ask("purge", by="K. Sato")["code"] == "MDSE-DAEMON-012"
    assert running.stop() == 0
    with running.journal() as journal:
        journal.execute("UPDATE slides SET changed_at = '2026-01-02T00:00:00.000Z'")
    running.start()
    running.wait_ready()
    assert running.ask("purge", by="K. Sato", reason="the disk is full")["copies"] == 1
    actions = [row["action"] for row in running.ask("show", slide="di60/A1")["audit"]]
    assert "spooled images removed after retention" in actions
