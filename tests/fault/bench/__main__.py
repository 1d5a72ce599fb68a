"""Break the daemon on purpose and count what came of it.

    python -m tests.fault.bench                     lists the benches
    python -m tests.fault.bench run NAME            runs one, or goes on with it where it was interrupted
    python -m tests.fault.bench run --all           the long part: every bench and every control, hours
    python -m tests.fault.bench table               what the finished runs add up to
    python -m tests.fault.bench write               the same as benchmarks/faults.json, which keeps the finished runs

Runs that a benchmarks/faults.json of the same code keeps are finished, whichever machine they were done on.
Exit status 1 when a bench shows a fault, or a control shows none: then the bench could not have seen it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fault.bench.contract import Bench
from tests.fault.bench.figures import Total, figures_from_totals, is_good, table_from_totals, total_of, write_figures
from tests.fault.bench.kept import kept_figures, kept_totals
from tests.fault.bench.ledger import Ledger
from tests.fault.bench.registry import REPOSITORY, digest_of_tested, load_benches
from tests.fault.bench.runner import Plan, run_bench

STATE = REPOSITORY / ".fault-runs"
FIGURES = REPOSITORY / "benchmarks" / "faults.json"


def main(argv: Sequence[str] | None = None, benches: Mapping[str, Bench] | None = None) -> int:
    """Run the command; `benches` replaces the registry in its own tests."""
    arguments = parser().parse_args(argv)
    benches = load_benches() if benches is None else benches
    digest = digest_of_tested()
    if arguments.command == "run":
        return run(arguments, benches, digest)
    if arguments.command == "list":
        for bench in benches.values():
            kind = f"control of {bench.control_of}" if bench.control_of else "bench"
            print(f"{bench.name:32} {bench.full_count:8} x {bench.unit} ({kind})")  # noqa: T201 - a bench prints
        return 0
    totals = totals_of(benches, arguments, digest)
    if arguments.command == "write":
        earlier = kept_figures(arguments.figures, digest)
        write_figures(arguments.out or arguments.figures, figures_from_totals(totals, digest, earlier))
    else:
        print(table_from_totals(totals, digest))  # noqa: T201 - a bench prints
    return 0 if is_good(totals) else 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        "python -m tests.fault.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(dest="command", required=False)
    made.set_defaults(command="list")  # after the subparsers, whose own default is None
    run_parser = commands.add_parser("run", help="run or resume")
    run_parser.add_argument("names", nargs="*", metavar="NAME")
    run_parser.add_argument("--all", action="store_true", help="every bench and every control")
    run_parser.add_argument("--count", type=int, help="so many runs in all (default: the full count)")
    run_parser.add_argument("--jobs", type=int, choices=range(1, 9), default=1, help="runs side by side")
    run_parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run of a bench after that")
    run_parser.add_argument("--work", type=Path, help="folder for the runs' files (default: the temporary folder)")
    table = commands.add_parser("table", help="print what the finished runs add up to")
    write = commands.add_parser("write", help="write the figures as JSON")
    write.add_argument("--out", type=Path, help="where to (default: the file of --figures)")
    for command in (run_parser, table, write):
        command.add_argument("--state", type=Path, default=STATE, help="folder of the finished runs")
        command.add_argument("--figures", type=Path, default=FIGURES, help="file that keeps runs of other sittings")
    return made


def run(arguments: argparse.Namespace, benches: Mapping[str, Bench], digest: str) -> int:
    """Run the named benches one after the other and print their table."""
    names = list(benches) if arguments.all else arguments.names
    unknown = [name for name in names if name not in benches]
    if unknown or not names:
        print(f"no such bench: {', '.join(unknown) or 'none was named'}", file=sys.stderr)  # noqa: T201 - a bench prints
        return 2
    kept = kept_totals(arguments.figures, benches, digest)
    for name in names:
        bench = benches[name]
        count = bench.full_count if arguments.count is None else min(arguments.count, bench.full_count)
        plan = Plan(count, arguments.jobs, 60 * arguments.minutes, arguments.work, kept[name].numbers)
        run_bench(bench, Ledger(arguments.state, name, digest), plan)
    totals = totals_of({name: benches[name] for name in names}, arguments, digest)
    print(table_from_totals(totals, digest))  # noqa: T201 - a bench prints
    return 0 if is_good(totals) else 1


def totals_of(benches: Mapping[str, Bench], arguments: argparse.Namespace, digest: str) -> list[Total]:
    """Return the totals of every bench for the present code: the runs of this machine and those that were kept."""
    kept = kept_totals(arguments.figures, benches, digest)
    return [
        total_of(bench, Ledger(arguments.state, name, digest).finished().values(), kept[name])
        for name, bench in benches.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
