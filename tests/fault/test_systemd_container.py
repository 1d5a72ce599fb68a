"""The unit as it is shipped, under a real systemd: a slide goes in, a result comes out, every end is the right one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.bench.systemd import PATCHED, hang_once
from tests.fault.container import Container, booted_container, missing_for_container, prepare_inside
from tests.real.real_site import drawn_files, export_slide

WHY = missing_for_container()
pytestmark = pytest.mark.skipif(bool(WHY), reason=f"no container: {WHY}")
SAMPLE = "SIM4711990"
SLIDE = "SIM4711990_S1"
QUICK_WATCHDOG_S = 3.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A machine whose service runs the demonstration bundle; the tests below use it one after the other."""
    with booted_container(tmp_path_factory.mktemp("machine")) as container:
        prepare_inside(container)
        container.run("systemctl", "start", "mds-edge")
        yield container


def main_pid(machine: Container) -> int:
    return int(machine.shown("MainPID")["MainPID"])


def journal_of(machine: Container) -> str:
    return machine.run("journalctl", "-u", "mds-edge", "-o", "cat", "--no-pager")


def export(machine: Container, name: str, seed: int) -> None:
    export_slide(machine.root / "srv/mds-edge/export", name, drawn_files(seed, 40), sample_id=SAMPLE)


@pytest.mark.case("S11")
def test_a_slide_goes_in_and_a_result_comes_out_under_the_real_sandbox(machine: Container) -> None:
    export(machine, SLIDE, 1)
    machine.wait_for(lambda: bool(machine.results()), 180.0, "a result")
    record = json.loads(machine.results()[0].read_bytes())
    assert record["slide"]["sample_id"] == SAMPLE
    assert record["provenance"]["engine"]["name"] == "openvino"
    assert (record["provenance"]["trees"], record["provenance"]["degraded"]) == ("compiled", False)
    status = machine.run("systemctl", "status", "mds-edge", "--no-pager", "-n", "0")
    assert machine.shown("NRestarts", "ActiveState") == {"NRestarts": "0", "ActiveState": "active"}
    said = journal_of(machine)
    assert "the model is ready on cpu" in said
    for secret in (SAMPLE, SLIDE, "wbc/0001"):
        assert secret not in said + status, "the journal names no patient's slide"


@pytest.mark.case("S12")
@pytest.mark.case("S17")
def test_files_are_the_services_alone_and_results_their_groups(machine: Container) -> None:
    """After the test above: state and spool shut, the drop file readable for its group, no socket but its own."""
    (result,) = machine.results()
    assert result.stat().st_mode & 0o777 == 0o640
    state = machine.root / "var/lib/mds-edge"
    assert state.stat().st_mode & 0o777 == 0o700
    # The engine gives the kernels that it compiles a mode of its own; their folder is shut, and they hold no patient.
    ours = [path for path in state.rglob("*") if (state / "cache") not in path.parents]
    open_to_others = [path for path in ours if path.lstat().st_mode & 0o077]
    assert open_to_others == []
    listening = machine.run("cat", f"/proc/{main_pid(machine)}/net/unix")
    assert "/run/mds-edge/control.sock" in listening
    assert "mds-edge" in machine.run("stat", "-c", "%U %G %a", "/run/mds-edge/control.sock")


@pytest.mark.case("S16")
def test_the_processes_live_in_the_sandbox_that_the_unit_describes(machine: Container) -> None:
    for pid in processes_of(machine):
        status = dict(
            line.split(":\t", 1) for line in machine.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
        )
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0000000000000000"}
        interfaces = [
            line.split(":")[0].strip() for line in machine.run("cat", f"/proc/{pid}/net/dev").splitlines()[2:]
        ]
        assert interfaces == ["lo"]
    score = machine.run("systemd-analyze", "security", "--no-pager", "mds-edge.service").splitlines()[-1]
    assert float(score.split(": ")[1].split(" ")[0]) <= 0.4, score


def processes_of(machine: Container) -> list[str]:
    pid = main_pid(machine)
    children = machine.run("cat", f"/proc/{pid}/task/{pid}/children").split()
    assert len(children) >= 3, "scanner, worker and deliverer run"
    return [str(pid), *children]


@pytest.mark.case("C4")
def test_a_hangup_changes_nothing(machine: Container) -> None:
    pid, before = main_pid(machine), len(machine.results())
    machine.run("systemctl", "kill", "--kill-whom=main", "-s", "HUP", "mds-edge")
    machine.run("systemctl", "kill", "--kill-whom=main", "-s", "USR1", "mds-edge")
    export(machine, "AFTER_HUP", 2)
    machine.wait_for(lambda: len(machine.results()) == before + 1, 180.0, "the slide's result")
    assert main_pid(machine) == pid


@pytest.mark.case("C1")
def test_after_kills_in_quick_succession_it_is_there_again_and_sends_one_result(machine: Container) -> None:
    before = len(machine.results())
    export(machine, "DURING_KILLS", 3)
    assert machine.shown("StartLimitIntervalUSec") == {"StartLimitIntervalUSec": "0"}
    for count in range(1, 3):
        pid = main_pid(machine)
        machine.run("kill", "-9", str(pid))
        machine.wait_for(lambda pid=pid: main_pid(machine) not in (0, pid), 30.0, "another process")
        assert machine.shown("NRestarts")["NRestarts"] == str(count)
    machine.wait_for(lambda: len(machine.results()) > before, 180.0, "the slide's result")
    assert machine.shown("ActiveState")["ActiveState"] == "active"
    assert len(machine.results()) == before + 1


@pytest.mark.case("C3")
def test_a_stop_ends_in_good_order_and_a_start_goes_on(machine: Container) -> None:
    before = len(machine.results())
    machine.run("systemctl", "stop", "mds-edge")
    shown = machine.shown("Result", "ExecMainStatus", "ActiveState")
    assert shown == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
    machine.run("systemctl", "start", "mds-edge")
    assert machine.shown("ActiveState")["ActiveState"] == "active"
    assert len(machine.results()) == before


def test_a_second_daemon_on_the_same_state_ends_with_75_and_is_tried_again(machine: Container) -> None:
    command = "/opt/mds-edge/venv/bin/python -I -m edge.commands.daemon --config /etc/mds-edge/mds-edge.toml"
    text = machine.run("sh", "-c", f"runuser -u mds-edge -- {command} 2>&1; echo status=$?")
    assert "MDSE-DAEMON-001" in text
    assert text.strip().endswith("status=75")


def test_what_a_restart_cannot_mend_stays_down_and_says_why(machine: Container) -> None:
    config = machine.root / "etc/mds-edge/mds-edge.toml"
    text = config.read_text()
    config.write_text(text.replace("quiet_s = 1", "quiet_seconds = 1"))
    machine.run("systemctl", "restart", "mds-edge", check=False)
    machine.wait_for(lambda: machine.shown("ActiveState")["ActiveState"] == "failed", 30.0, "it stays down")
    assert machine.shown("ExecMainStatus", "NRestarts") == {"ExecMainStatus": "78", "NRestarts": "0"}
    assert "quiet_seconds" in journal_of(machine)
    config.write_text(text)
    for status, stays_down in ((4, True), (70, False)):
        machine.drop_in("test", f"[Service]\nType=exec\nExecStart=\nExecStart=/bin/sh -c 'exit {status}'\n")
        machine.run("systemctl", "reset-failed", "mds-edge", check=False)
        machine.run("systemctl", "start", "mds-edge", check=False)
        if stays_down:
            machine.wait_for(lambda: machine.shown("ActiveState")["ActiveState"] == "failed", 30.0, "it stays down")
            assert machine.shown("NRestarts")["NRestarts"] == "0"
        else:
            machine.wait_for(lambda: int(machine.shown("NRestarts")["NRestarts"]) >= 2, 30.0, "it is tried again")
        machine.run("systemctl", "stop", "mds-edge", check=False)


@pytest.mark.parametrize(
    ("part", "ended"), [("journal_check_takes_long", ""), ("long_check_asks_for_no_time", "timeout")]
)
def test_a_long_check_of_the_journal_at_start_is_given_its_time(machine: Container, part: str, ended: str) -> None:
    machine.run("systemctl", "stop", "mds-edge", check=False)
    start = PATCHED.format(module=f"tests.fault.patched_daemon {part}", watchdog_s=30)
    machine.drop_in("test", f"{start}TimeoutStartSec=8\nRestart=no\n")
    machine.run("systemctl", "reset-failed", "mds-edge", check=False)
    machine.run("systemctl", "start", "mds-edge", check=False)
    shown = machine.shown("Result", "ActiveState")
    machine.run("systemctl", "stop", "mds-edge")
    assert shown == {"Result": ended or "success", "ActiveState": "failed" if ended else "active"}


@pytest.mark.case("C20")
def test_a_supervisor_that_a_debugger_stops_is_replaced_by_systemd(machine: Container) -> None:
    """The product as it is shipped, stopped by SIGSTOP."""
    machine.run("systemctl", "stop", "mds-edge", check=False)
    outcome = hang_once(machine, 2, watchdog_s=QUICK_WATCHDOG_S)
    assert outcome.faults == 0, outcome
    assert outcome.note.startswith("stopped"), outcome


@pytest.mark.case("C7")
@pytest.mark.case("C8")
def test_a_supervisor_that_hangs_is_replaced_by_systemd_and_one_fed_by_a_thread_is_not(machine: Container) -> None:
    machine.run("systemctl", "stop", "mds-edge", check=False)
    outcome = hang_once(machine, 1, watchdog_s=QUICK_WATCHDOG_S)
    assert outcome.faults == 0, outcome
    machine.run("systemctl", "stop", "mds-edge")
    assert hang_once(machine, 3, watchdog_s=QUICK_WATCHDOG_S, wrong_part="watchdog_fed_by_a_thread").lost == 1


def test_nothing_of_a_container_is_left(tmp_path: Path) -> None:
    with booted_container(tmp_path / "machine") as container:
        init = container.pid
        assert str(tmp_path) in Path("/proc/self/mounts").read_text()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not Path(f"/proc/{init}").exists()
