"""Runs that a committed file of figures keeps: finished on any machine, counted once, and only for the same code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault.bench.__main__ import main
from tests.fault.bench.contract import FAULTS, Bench, Outcome
from tests.fault.bench.figures import Total, figures_from_totals, total_of, write_figures
from tests.fault.bench.kept import kept_totals
from tests.fault.bench.ledger import FinishedRun, Ledger
from tests.fault.bench.ranges import numbers_from_text, text_from_numbers
from tests.fault.bench.registry import digest_of_tested

COUNT = 12
DIGEST = "a" * 64


def never(number: int, work: Path) -> Outcome:
    raise AssertionError("nothing is run here")


BENCH = Bench("sound", "a try", COUNT, never)


def noting(marks: Path) -> Bench:
    """A bench that leaves a line in a file for each run that it does (a run is a process of its own)."""

    def run(number: int, work: Path) -> Outcome:
        with marks.open("a") as file:
            file.write(f"{number}\n")
        return Outcome(points=2, lost=int(number == 1), note="slow" if number % 2 else "")

    return Bench("sound", "a try", 5, run)


def command(machine: Path, figures: Path, bench: Bench, *arguments: str) -> int:
    return main([*arguments, "--state", str(machine), "--figures", str(figures)], {bench.name: bench})


def row_of(figures: Path) -> dict[str, Any]:
    return dict(json.loads(figures.read_text())["sound"])


def test_another_machine_goes_on_where_the_committed_file_ends(tmp_path: Path) -> None:
    figures, marks = tmp_path / "faults.json", tmp_path / "marks"
    bench = noting(marks)
    command(tmp_path / "first", figures, bench, "run", "sound", "--count", "3")
    assert command(tmp_path / "first", figures, bench, "write") == 1  # run 1 lost one
    first = row_of(figures)
    assert (first["finished"], first["with_faults"], first["notes"]) == ("0-2", "1", {"1": "slow"})
    assert command(tmp_path / "second", figures, bench, "run", "sound") == 1
    assert marks.read_text().split() == ["0", "1", "2", "3", "4"]
    assert sorted(Ledger(tmp_path / "second", "sound", digest_of_tested()).finished()) == [3, 4]
    for machine in ("second", "first", "second"):  # writing twice, and from the ledger that was written already
        command(tmp_path / machine, figures, bench, "write")
        row = row_of(figures)
        assert (row["runs"], row["points"], row["lost"], row["finished"]) == (5, 10, 1, "0-4")
        assert row["notes"] == {"1,3": "slow"}


def test_the_table_counts_the_kept_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, bench = tmp_path / "faults.json", noting(tmp_path / "marks")
    command(tmp_path / "first", figures, bench, "run", "sound", "--count", "3")
    command(tmp_path / "first", figures, bench, "write")
    capsys.readouterr()
    assert command(tmp_path / "second", figures, bench, "table") == 1
    assert capsys.readouterr().out.splitlines()[-1].split()[:5] == ["sound", "3", "5", "6", "1"]


def test_kept_runs_of_other_code_or_of_another_bench_begin_at_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, marks = tmp_path / "faults.json", tmp_path / "marks"
    bench = noting(marks)
    command(tmp_path / "first", figures, bench, "run", "sound")
    command(tmp_path / "first", figures, bench, "write")
    bigger = Bench("sound", "a try", 6, bench.run)
    coarser = Bench("sound", "two tries", 5, bench.run)
    for other in (bigger, coarser):
        assert kept_totals(figures, {"sound": other}, digest_of_tested())["sound"].runs == 0
    monkeypatch.setattr("tests.fault.bench.__main__.digest_of_tested", lambda: "f" * 64)
    command(tmp_path / "second", figures, bench, "run", "sound", "--count", "1")
    assert marks.read_text().split() == ["0", "1", "2", "3", "4", "0"]
    command(tmp_path / "second", figures, bench, "write")
    assert row_of(figures)["finished"] == "0"


@pytest.mark.parametrize(
    ("field", "value"), [("finished", "0-3"), ("finished", "3,2"), ("with_faults", "9"), ("notes", {"7": "?"}),
                         ("points", "many"), ("with_faults", "0-9")]
)  # fmt: skip
def test_a_row_that_does_not_add_up_is_refused(field: str, value: object, tmp_path: Path) -> None:
    figures, bench = tmp_path / "faults.json", noting(tmp_path / "marks")
    command(tmp_path / "first", figures, bench, "run", "sound", "--count", "3")
    command(tmp_path / "first", figures, bench, "write")
    content = json.loads(figures.read_text())
    content["sound"][field] = value
    figures.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"faults\.json, sound: no total"):
        command(tmp_path / "second", figures, bench, "table")


def test_the_machines_of_kept_runs_stay_named(tmp_path: Path) -> None:
    earlier = figures_from_totals([], DIGEST, {})
    assert earlier["earlier_machines"] == []
    other = {**earlier["machine"], "processor": "another"}
    made = figures_from_totals([], DIGEST, {**earlier, "machine": other})
    assert made["earlier_machines"] == [other]
    again = figures_from_totals([], DIGEST, made)
    assert (again["machine"], again["earlier_machines"]) == (made["machine"], [other])


def test_a_control_keeps_the_beginning_of_what_it_noted(tmp_path: Path) -> None:
    control = Bench("wrong", "a try", 1, never, control_of="sound")
    total = total_of(control, [FinishedRun(0, Outcome(1, lost=1, note="x" * 5000), 1.0, "")], Total(control))
    assert len(figures_from_totals([total], DIGEST, {})["controls"]["wrong"]["notes"]["0"]) == 300


def test_no_place_of_a_machine_gets_into_the_file() -> None:
    told = 'File "/home/a-b/x.y/tests/fault/site.py", line 1; /dev/shm/mds-edge-soak-ab12/drop, not /srv/export'
    total = total_of(BENCH, [FinishedRun(0, Outcome(1, lost=1, note=told), 1.0, "")], Total(BENCH))
    note = figures_from_totals([total], DIGEST, {})["sound"]["notes"]["0"]
    assert note == 'File "tests/fault/site.py", line 1; mds-edge-soak-ab12/drop, not /srv/export'


@given(st.frozensets(st.integers(0, 40)))
def test_run_numbers_read_back_as_they_were_written(numbers: frozenset[int]) -> None:
    assert numbers_from_text(text_from_numbers(numbers)) == numbers


outcomes = st.builds(Outcome, points=st.integers(0, 8), lost=st.integers(0, 2), other=st.integers(0, 1),
                     note=st.sampled_from(["", "slow", "torn apart"]))  # fmt: skip


@given(found=st.lists(outcomes, min_size=COUNT, max_size=COUNT),
       machines=st.lists(st.frozensets(st.integers(0, COUNT - 1)), min_size=1, max_size=4))  # fmt: skip
def test_however_the_runs_are_spread_over_machines_each_counts_once(
    found: list[Outcome], machines: list[frozenset[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("kept") / "faults.json"
    for numbers in machines:
        runs = [FinishedRun(number, found[number], 1.0, "") for number in sorted(numbers)]
        total = total_of(BENCH, runs, kept_totals(path, {"sound": BENCH}, DIGEST)["sound"])
        write_figures(path, figures_from_totals([total], DIGEST, {}))
    kept, done = kept_totals(path, {"sound": BENCH}, DIGEST)["sound"], frozenset().union(*machines)
    assert (kept.numbers, kept.seconds) == (done, float(len(done)))
    for name in ("points", *FAULTS):
        assert getattr(kept, name) == sum(getattr(found[number], name) for number in done)
    assert kept.faulty == {number for number in done if found[number].faults}
    assert dict(kept.notes) == {number: found[number].note for number in done if found[number].note}


def test_a_fault_that_only_one_of_two_machines_saw_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    for outcome in (Outcome(2), Outcome(2, lost=1, note="gone"), Outcome(2), Outcome(2, lost=1, note="gone")):
        kept = kept_totals(path, {"sound": BENCH}, DIGEST)["sound"]
        total = total_of(BENCH, [FinishedRun(0, outcome, 1.0, "")], kept)
        write_figures(path, figures_from_totals([total], DIGEST, {}))
    kept = kept_totals(path, {"sound": BENCH}, DIGEST)["sound"]
    assert (kept.runs, kept.points, kept.lost, kept.verdict, dict(kept.notes)) == (1, 2, 1, "FAULTS", {0: "gone"})
