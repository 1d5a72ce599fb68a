"""Which numbered fault and attack case is covered by a test that ran and that can fail.

    python -m tests.fault.case_ids                the cases without a test
    python -m tests.fault.case_ids run            runs every test that names a case (resumes; many minutes)
    python -m tests.fault.case_ids controls       makes the product wrong, case by case: the test must fail (resumes)
    python -m tests.fault.case_ids write          writes benchmarks/fault_cases.json

A case counts when a test that names it (`@pytest.mark.case("A1")`) ran, was not skipped, and failed under its control
(`controls.toml`). Exit status 1 while a case has no test, a test fails, or a control does not make its test fail.

What the figures hold is not done again: a row says on which tests and on which control it stands, by their digests.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.fault.bench.registry import digest_of_tested
from tests.fault.case_controls import (
    REPOSITORY,
    Control,
    ControlLedger,
    copy_of_repository,
    load_controls,
    prove,
)

CASES = Path(__file__).with_name("cases.toml")
STATE = REPOSITORY / ".fault-runs"
FIGURES = REPOSITORY / "benchmarks" / "fault_cases.json"

Row = dict[str, Any]
"""What the figures say of one case."""


def load_cases() -> dict[str, list[str]]:
    """Return title and expected outcome of every case by its id, in order."""
    groups = tomllib.loads(CASES.read_text(encoding="utf-8"))
    return {case: facts for group in groups.values() for case, facts in group.items()}


@cache
def named_in_tests() -> dict[str, list[str]]:
    """Return which test functions name each case (read from the source: nothing is imported)."""
    found: dict[str, list[str]] = {}
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for case in cases_of(function):
                    found.setdefault(case, []).append(f"{path.relative_to(REPOSITORY)}::{function.name}")
    return found


def cases_of(function: ast.FunctionDef) -> Iterable[str]:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.case" and mark.args:
            yield str(ast.literal_eval(mark.args[0]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "case_ids", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("list", "run", "controls", "write"), default="list")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--out", type=Path, default=FIGURES)
    parser.add_argument("--only", help="controls of these cases alone, a regular expression")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after that")
    arguments = parser.parse_args(argv)
    cases, tests = load_cases(), named_in_tests()
    if arguments.command == "run":
        return run_marked(tests, arguments.state, arguments.minutes, kept_rows(arguments.out, tests))
    if arguments.command == "controls":
        return run_controls(arguments)
    if arguments.command == "write":
        return write(cases, arguments)
    without = [case for case in cases if case not in tests]
    for case in without:
        print(f"{case:4} {cases[case][0]} -> {cases[case][1]}")  # noqa: T201 - a command prints
    print(f"{len(cases) - len(without)} of {len(cases)} cases are named by a test")  # noqa: T201 - a command prints
    return 1 if without else 0


def run_marked(tests: Mapping[str, list[str]], state: Path, minutes: float, kept: Mapping[str, Row]) -> int:
    """Run every module with a test that names a case, whole: tests of one machine go on where the last one ended.

    What has passed is not run again, nor what is needed only for cases that the figures hold.
    """
    open_cases = [case for case in tests if not kept.get(case, {}).get("ran")]
    modules = sorted({module for case in open_cases for module in modules_of(tests[case])})
    started_s, bad = time.monotonic(), 0
    for number, module in enumerate(modules, start=1):
        report = report_of(module, state)
        if report.exists() or time.monotonic() - started_s > 60 * minutes:
            continue
        report.parent.mkdir(parents=True, exist_ok=True)
        made = report.with_suffix(".new")
        environment = os.environ | {"MDS_EDGE_CASE_REPORT": str(made.resolve())}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.fault.case_report", module]
        status = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
        bad += status != 0
        made.rename(report if status == 0 else report.with_suffix(".failed"))
        passed_s = time.monotonic() - started_s
        print(f"{number} of {len(modules)}, {passed_s:.0f} s: {module} {status}", flush=True)  # noqa: T201 - a command prints
    left = [module for module in modules if not report_of(module, state).exists()]
    print(f"{len(modules) - len(left)} of {len(modules)} modules have passed")  # noqa: T201 - a command prints
    return 1 if bad or left else 0


def modules_of(nodes: Iterable[str]) -> list[str]:
    return sorted({node.partition("::")[0] for node in nodes})


def report_of(module: str, state: Path) -> Path:
    """Return the place of what became of a module's tests, for the code and the tests as they are."""
    return state / "cases" / f"{module.replace('/', '.').removesuffix('.py')}.{digest_of_modules([module])}.json"


def digest_of_modules(modules: Sequence[str]) -> str:
    """Return a digest of the tested code and of these modules."""
    content = b"".join((REPOSITORY / module).read_bytes() for module in modules)
    return hashlib.sha256(digest_of_tested().encode() + content).hexdigest()[:12]


def kept_rows(figures: Path, tests: Mapping[str, list[str]]) -> dict[str, Row]:
    """Return the rows of the figures, each without what it says of other tests, or of another control, than today's."""
    if not figures.exists():
        return {}
    controls: dict[str, set[str]] = {}
    for control in load_controls():
        controls.setdefault(control.case, set()).add(control.digest())
    rows: dict[str, Row] = json.loads(figures.read_text(encoding="utf-8"))["by_case"]
    for case, row in rows.items():
        if row["tests_digest"] != digest_of_modules(modules_of(tests.get(case, []))):
            row["ran"] = False
        if row["control_digest"] not in controls.get(case, set()):
            row["control_digest"] = ""
    return rows


def run_controls(arguments: argparse.Namespace) -> int:
    """Prove the controls that are not proved yet."""
    ledger = ControlLedger(arguments.state / "case_controls.jsonl")
    kept = kept_rows(arguments.out, named_in_tests()).values()
    proved = ledger.proved() | {str(row["control_digest"]): "fails" for row in kept}
    wanted = [c for c in load_controls() if not arguments.only or re.fullmatch(arguments.only, c.case)]
    todo = [control for control in wanted if proved.get(control.digest()) != "fails"]
    started_s, bad = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="mds-edge-controls-") as folder:
        copy_of_repository(Path(folder))
        for number, control in enumerate(todo, start=1):
            if time.monotonic() - started_s > 60 * arguments.minutes:
                print(f"{len(todo) - number + 1} controls are left for the next run")  # noqa: T201 - a command prints
                return 1
            verdict = prove(control, Path(folder))
            ledger.add(control, verdict, Path(folder))
            bad += verdict != "fails"
            print(  # noqa: T201 - a command prints
                f"{number} of {len(todo)}, {time.monotonic() - started_s:.0f} s: {control.case} {verdict}", flush=True
            )
    print(f"{len(wanted)} controls, {len(wanted) - len(todo)} were proved before, {bad} do not make their test fail")  # noqa: T201 - a command prints
    return 1 if bad else 0


def write(cases: Mapping[str, list[str]], arguments: argparse.Namespace) -> int:
    """Write what is covered: which tests ran, which controls are proved, which cases are open."""
    report: dict[str, dict[str, object]] = {}
    for module in {node.partition("::")[0] for several in named_in_tests().values() for node in several}:
        path = report_of(module, arguments.state)
        report |= json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = kept_rows(arguments.out, named_in_tests())
    proved = ControlLedger(arguments.state / "case_controls.jsonl").proved()
    proved |= {str(row["control_digest"]): "fails" for row in kept.values()}
    figures = figures_from(cases, report, load_controls(), proved, kept)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    counts = {name: figures[name] for name in ("cases", "ran", "proved")}
    print(f"{counts['ran']} of {counts['cases']} cases have a test that ran, {counts['proved']} a proved control")  # noqa: T201 - a command prints
    return 0 if counts["proved"] == counts["cases"] else 1


def figures_from(
    cases: Mapping[str, list[str]],
    report: Mapping[str, Mapping[str, object]],
    controls: Sequence[Control],
    proved: Mapping[str, str],
    kept: Mapping[str, Row],
) -> dict[str, object]:
    """Return the figures of all cases. A case has run when one of its tests passed and none failed.

    A row of `kept` that has run stands for a case whose tests have not all run in this state.
    """
    outcomes: dict[str, list[str]] = {case: [] for case in cases}
    for entry in report.values():
        for case in entry["cases"]:  # type: ignore[attr-defined]  # a list, as cases.toml is checked to have
            outcomes.setdefault(case, []).append(str(entry["outcome"]))
    ran = [case for case in cases if "passed" in outcomes[case] and "failed" not in outcomes[case]]
    fails = {control.case: control.digest() for control in controls if proved.get(control.digest()) == "fails"}
    tests, reported = named_in_tests(), set(modules_of(report))
    rows: dict[str, Row] = {}
    for case, (title, word) in cases.items():
        counts: Row = {
            "tests_passed": outcomes[case].count("passed"),
            "tests_skipped": outcomes[case].count("skipped"),
            "tests_digest": digest_of_modules(modules_of(tests.get(case, []))),
            "ran": case in ran,
        }
        if kept.get(case, {}).get("ran") and not reported.issuperset(modules_of(tests.get(case, []))):
            counts = {name: kept[case][name] for name in counts}
        control = {"control": "proved" if case in fails else "none", "control_digest": fails.get(case, "")}
        rows[case] = {"title": title, "expected": word, **counts, **control}
    ran = [case for case in cases if rows[case]["ran"]]
    return {
        "schema": "mds-edge.fault-cases/1",
        "cases": len(cases),
        "ran": len(ran),
        "proved": len([case for case in ran if case in fails]),
        "without_test": [case for case in cases if case not in tests],
        "by_case": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
