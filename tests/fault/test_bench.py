"""The machinery of the fault benches: what is counted, what is done again, and when the verdict is bad."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import pytest

from edge.daemon import scanner, settle, supervisor
from edge.daemon.backoff import Backoff
from tests.fault.bench import changes, registry
from tests.fault.bench.__main__ import main
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.bench.ledger import Ledger
from tests.fault.bench.registry import digest_of_tested, load_benches

SOUND = Outcome(points=2)


def bench(name: str = "sound", outcome: Outcome = SOUND, control_of: str | None = None) -> Bench:
    def run(number: int, work: Path) -> Outcome:
        assert work.is_dir()
        assert list(work.iterdir()) == []
        (work / "made").write_bytes(b"")
        return outcome

    return Bench(name, "a try", 5, run, control_of)


def command(state: Path, *arguments: str, benches: list[Bench]) -> int:
    files = ["--state", str(state), "--figures", str(state / "faults.json")]
    return main([*arguments, *files], {bench.name: bench for bench in benches})


def numbers(state: Path, name: str = "sound") -> list[int]:
    return sorted(Ledger(state, name, digest_of_tested()).finished())


def test_without_a_command_every_bench_is_listed_with_its_number_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {made.name: made for made in (bench(), bench("broken", control_of="sound"))}) == 0
    assert [line.split()[:4] for line in capsys.readouterr().out.splitlines()] == [
        ["sound", "5", "x", "a"], ["broken", "5", "x", "a"],
    ]  # fmt: skip


def test_a_run_that_is_finished_is_not_done_again(tmp_path: Path) -> None:
    assert command(tmp_path, "run", "sound", "--count", "2", benches=[bench()]) == 0
    assert numbers(tmp_path) == [0, 1]
    before = Ledger(tmp_path, "sound", digest_of_tested()).path.read_bytes()
    assert command(tmp_path, "run", "sound", "--jobs", "2", benches=[bench()]) == 0
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert Ledger(tmp_path, "sound", digest_of_tested()).path.read_bytes().startswith(before)


def test_a_line_that_was_cut_is_dropped_and_its_run_is_done_again(tmp_path: Path) -> None:
    command(tmp_path, "run", "sound", "--count", "3", benches=[bench()])
    path = Ledger(tmp_path, "sound", digest_of_tested()).path
    path.write_bytes(path.read_bytes()[:-20])
    assert numbers(tmp_path) == [0, 1]
    command(tmp_path, "run", "sound", "--count", "3", benches=[bench()])
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_line_in_the_middle_that_is_no_run_is_refused(tmp_path: Path) -> None:
    command(tmp_path, "run", "sound", "--count", "2", benches=[bench()])
    path = Ledger(tmp_path, "sound", digest_of_tested()).path
    first, second = path.read_bytes().splitlines(keepends=True)
    for content in (b"{}\n" + second, first + first):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="line"):
            command(tmp_path, "table", benches=[bench()])


def test_other_code_begins_at_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, "run", "sound", benches=[bench()])
    monkeypatch.setattr("tests.fault.bench.__main__.digest_of_tested", lambda: "f" * 64)
    out = tmp_path / "faults.json"
    assert command(tmp_path, "write", "--out", str(out), benches=[bench()]) == 0
    assert "sound" not in json.loads(out.read_text())


def test_the_digest_follows_the_code_under_test_and_nothing_else(tmp_path: Path) -> None:
    for name in ("journal.py", "journal_rows.py", "daemon/a.py", "delivery/b.py", "writers/c.py", "images.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    first = digest_of_tested(tmp_path)
    (tmp_path / "images.py").write_text("2")
    assert digest_of_tested(tmp_path) == first
    seen = {first}
    for name in ("journal.py", "journal_rows.py", "daemon/a.py", "delivery/b.py", "writers/c.py"):
        (tmp_path / name).write_text("2")
        seen.add(digest_of_tested(tmp_path))
    (tmp_path / "daemon" / "a.py").rename(tmp_path / "daemon" / "z.py")
    seen.add(digest_of_tested(tmp_path))
    assert len(seen) == 7


@pytest.mark.parametrize("name", ["lost", "duplicate", "torn", "other"])
def test_a_fault_of_any_kind_is_exit_status_1(tmp_path: Path, name: str) -> None:
    faulty = bench(outcome=Outcome(points=1, **{name: 1}))
    assert command(tmp_path, "run", "sound", "--count", "1", benches=[faulty]) == 1
    assert command(tmp_path, "table", benches=[faulty]) == 1


def test_a_control_that_shows_no_fault_is_exit_status_1(tmp_path: Path) -> None:
    blind = [bench(), bench("blind", control_of="sound")]
    assert command(tmp_path, "run", "--all", benches=blind) == 1
    seeing = [bench(), bench("seeing", Outcome(points=1, torn=1), control_of="sound")]
    assert command(tmp_path, "run", "--all", benches=seeing) == 0


def test_a_run_that_raises_is_a_fault_and_the_next_run_goes_on(tmp_path: Path) -> None:
    def run(number: int, work: Path) -> Outcome:
        if number == 0:
            raise AssertionError("the daemon never answered")
        return Outcome(points=1)

    assert command(tmp_path, "run", "sound", benches=[Bench("sound", "a try", 3, run)]) == 1
    runs = Ledger(tmp_path, "sound", digest_of_tested()).finished()
    assert [runs[number].outcome.other for number in range(3)] == [1, 0, 0]
    assert "the daemon never answered" in runs[0].outcome.note


def test_shortened_pauses_are_asked_for_as_the_products_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, places = Backoff.failed, [(Backoff, "failed"), (settle.SettleWatch, "_needed_quiet_s")]
    names = ("JOURNAL_PAUSE_S", "PURGE_EVERY_S", "TURN_S", "purge_old_copies")
    for place, name in (*places, *((supervisor, name) for name in names), (scanner, "RECHECK_PASSES")):
        monkeypatch.setattr(place, name, getattr(place, name))  # puts back what the bench changes
    changes.shorten_pauses(tmp_path)
    assert inspect.signature(Backoff.failed).parameters.keys() == inspect.signature(whole).parameters.keys()
    pauses = [Backoff().failed(0.0), Backoff().failed(0.0, at_most_s=1.0), Backoff(600.0).failed(0.0)]
    assert pauses == [0.25, 0.05, 1.0]


def test_what_the_runs_share_is_prepared_once_before_they_are_forked(tmp_path: Path) -> None:
    prepared: list[int] = []

    def run(number: int, work: Path) -> Outcome:
        return Outcome(points=1, other=int(prepared != [os.getppid()]))

    shared = Bench("sound", "a try", 3, run, prepare=lambda: prepared.append(os.getpid()))
    assert command(tmp_path, "run", "sound", benches=[shared]) == 0
    assert command(tmp_path, "run", "sound", benches=[shared]) == 0
    assert prepared == [os.getpid()], "nothing was left to run the second time"


def test_the_table_and_the_file_say_the_same_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benches = [bench(), bench("broken", Outcome(points=3, duplicate=1), control_of="sound")]
    command(tmp_path, "run", "--all", benches=benches)
    capsys.readouterr()
    out = tmp_path / "out.json"
    assert command(tmp_path, "table", benches=benches) == 0
    assert command(tmp_path, "write", "--out", str(out), benches=benches) == 0
    figures = json.loads(out.read_text())
    assert set(figures) == {"date", "machine", "earlier_machines", "digest", "sound", "controls"}
    assert figures["digest"] == digest_of_tested()
    assert (figures["sound"]["runs"], figures["sound"]["points"], figures["sound"]["lost"]) == (5, 10, 0)
    broken = figures["controls"]["broken"]
    assert (broken["control_of"], broken["runs"], broken["points"], broken["duplicate"]) == ("sound", 5, 15, 5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["ok", "caught"]
    assert "15" in next(line for line in lines if "broken" in line)


def test_progress_says_how_long_it_took_and_will_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(tmp_path, "run", "sound", benches=[bench()])
    said = capsys.readouterr().err
    assert "5 of 5 runs" in said
    assert "elapsed, 0:00:00 remaining, 0 faults" in said


def test_a_ledger_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "sound", digest_of_tested())
    with ledger.appending(), pytest.raises(BlockingIOError):
        command(tmp_path, "run", "sound", benches=[bench()])


def test_an_unknown_bench_is_refused(tmp_path: Path) -> None:
    assert command(tmp_path, "run", "sounf", benches=[bench()]) == 2
    assert command(tmp_path, "run", benches=[bench()]) == 2


def test_every_module_of_the_registry_holds_benches_with_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    benches = load_benches()
    assert all(bench.full_count > 0 for bench in benches.values())
    monkeypatch.setattr(registry, "RESERVED", frozenset(benches))
    for module in registry.MODULES[:1]:
        with pytest.raises(ValueError, match="used already"):
            load_benches((module,))
