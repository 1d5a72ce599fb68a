"""How thoroughly the tests hold the code that must not lose a slide: the journal, the spool, publishing.

    python -m tests.fault.books_proof coverage      branch coverage by the unit tests: 100 % or exit status 1
    python -m tests.fault.books_proof mutation      mutmut on the same modules; resumes, and prints the score

Both need `coverage` and `mutmut` (in the `dev` extra). The mutants live in a copy of the repository, `--work`; a second
run goes on where the first was stopped. Exit status 1 below a score of 85 %. A mutant that no test reaches counts as
not noticed. One that only writes SQL or the name of a codec in other letters is no change and is not judged.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from tests.fault.case_controls import REPOSITORY, copy_of_repository

MODULES = (
    "edge/journal*.py", "edge/daemon/spool.py", "edge/daemon/durable.py", "edge/delivery/publish.py",
    "edge/delivery/rename.py", "edge/delivery/durable.py",
)  # fmt: skip
TESTS = (
    "tests/unit/test_journal.py", "tests/unit/test_journal_audit.py", "tests/unit/test_journal_queries.py",
    "tests/unit/test_journal_words.py", "tests/unit/test_durable_writing.py", "tests/unit/test_spool.py",
    "tests/unit/test_publish.py",
)  # fmt: skip
MORE_TESTS = (
    "tests/unit/test_retention.py", "tests/unit/test_outbox.py", "tests/unit/test_late_revision.py",
    "tests/unit/test_sources.py", "tests/unit/test_scanner.py", "tests/unit/test_clock_guard.py",
    "tests/unit/test_bundle_history.py", "tests/unit/test_notice.py", "tests/unit/test_status_matrix.py",
)  # fmt: skip
SCORE_MIN = 0.85
KILLED = frozenset({1, 3, 24, -24, 36, 255, -11, -9})
"""Exit statuses of a mutant's tests that mean it was noticed: failed, ended by a signal, out of time."""
KINDS = {None: "open", 0: "survived", 33: "unreached"}
SQL_WORDS = (
    "SELECT FROM WHERE GROUP ORDER LIMIT INSERT UPDATE DELETE VALUES SET JOIN AND PRAGMA BEGIN COMMIT ROLLBACK DESC ASC"
).split()
CASELESS = re.compile(rf"\b({'|'.join(SQL_WORDS)})\b|^ascii$")
"""SQL, or a codec: both are read without regard to case, but for what stands in quotes."""
MUTMUT = """
[tool.mutmut]
source_paths = ["edge"]
only_mutate = {modules}
also_copy = ["edge", "tests", "docs"]
pytest_add_cli_args = ["-x", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "books_proof", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("coverage", "mutation"))
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".fault-runs" / "mutants")
    parser.add_argument("--only", default="", help="mutants whose name has this pattern, for example edge.delivery.*")
    arguments = parser.parse_args(argv)
    return measure_coverage() if arguments.command == "coverage" else measure_mutation(arguments.work, arguments.only)


def measure_coverage() -> int:
    """Run the unit tests under coverage and print every line and branch that they leave out."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-coverage-") as folder:
        data = f"--data-file={folder}/data"
        include = f"--include={','.join(MODULES)}"
        run = [sys.executable, "-m", "coverage", "run", data, "--branch", include, "-m", "pytest", "-q"]
        status = subprocess.run([*run, *TESTS, *MORE_TESTS], cwd=REPOSITORY, check=False).returncode
        report = [sys.executable, "-m", "coverage", "report", data, "-m", "--fail-under=100"]
        return status or subprocess.run(report, cwd=REPOSITORY, check=False).returncode


def measure_mutation(work: Path, only: str) -> int:
    """Let mutmut run, then count its verdicts."""
    if not work.exists():
        work.mkdir(parents=True)
        copy_of_repository(work)
        with (work / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(MUTMUT.format(modules=json.dumps(MODULES), tests=json.dumps(TESTS + MORE_TESTS)))
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1", *([only] if only else [])]
    subprocess.run(command, cwd=work, check=False)
    verdicts = verdicts_in(work)
    judged = verdicts["killed"] + verdicts["survived"] + verdicts["unreached"]
    score = verdicts["killed"] / judged if judged else 0.0
    print(f"{dict(verdicts)}: {100 * score:.1f} % of {judged} judged mutants were noticed")  # noqa: T201 - a command prints
    return 0 if score >= SCORE_MIN else 1


def verdicts_in(work: Path) -> Counter[str]:
    """Count mutants that were noticed, survived, were reached by no test, change nothing, and were not judged yet."""
    found: Counter[str] = Counter(killed=0, survived=0, unreached=0)
    for path in (work / "mutants").rglob("*.meta"):
        statuses = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        functions = functions_in(path.with_suffix(""))
        for key, status in statuses.items():
            kind = KINDS.get(status, "killed" if status in KILLED else "other")
            if kind in ("survived", "unreached") and changes_letters_only(functions, key.rpartition(".")[2]):
                kind = "no change"
            found[kind] += 1
    return found


def functions_in(path: Path) -> dict[str, ast.AST]:
    """Return every function of a file of mutants by its name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def changes_letters_only(functions: Mapping[str, ast.AST], mutant: str) -> bool:
    """Tell whether a mutant is its original but for upper and lower case where SQLite and Python read none."""
    pair = [functions.get(mutant), functions.get(f"{mutant.rpartition('__mutmut_')[0]}__mutmut_orig")]
    changed, original = ([node for node in ast.walk(one) if not is_text(node)] if one else [] for one in pair)
    texts = [[node.value for node in ast.walk(one) if is_text(node)] if one else [] for one in pair]
    if [type(node) for node in changed] != [type(node) for node in original] or len(texts[0]) != len(texts[1]):
        return False
    different = [(new, old) for new, old in zip(*texts, strict=True) if new != old]
    return bool(different) and all(
        CASELESS.search(old) and without_case(new) == without_case(old) for new, old in different
    )


def without_case(text: str) -> list[str]:
    """Return the pieces of a text, in small letters where they stand outside of quotes."""
    return [piece if number % 2 else piece.lower() for number, piece in enumerate(text.split("'"))]


def is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


if __name__ == "__main__":
    sys.exit(main())
