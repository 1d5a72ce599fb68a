"""`edge-demo`: the real daemon between a simulated analyzer and a simulated LIS, and a table of what came of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.option_values import positive_number
from edge.errors import EXIT_DONE, EXIT_INTERNAL, run_command

if TYPE_CHECKING:
    from edge.demo.outcome import SlideOutcome
    from edge.demo.stage import Players, Stage

DESCRIPTION = """\
Shows the whole product on this machine in less than a minute: edge-daemon runs as a process of its own; a simulated
analyzer exports slides into a folder, file by file, the way a slow copy to a share does; a simulated LIS collects the
HL7 files, checks them and acknowledges. Everything it shows is simulated. Results of the demo bundle are marked as
tests; those of a bundle that you give with --bundle are marked as that bundle's are.
"""
EXAMPLES = """\
examples:
  edge-demo                                  four slides with drawn cells; results stay in a temporary folder
  edge-demo --keep demo --slides 8           keep everything (export, journal, logs, results) in ./demo
  edge-demo --cells ~/labelled-cells         compose the slides from real labelled cells (labels.csv)
"""
POLL_S = 0.2
SECONDS_PER_SLIDE = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; exit status 0 when every slide's result was accepted by the simulated LIS."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _demonstrate(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-demo", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells", type=Path, metavar="DIR", help="compose the slides from this folder of labelled cells"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="put everything into this folder, which must be empty")
    parser.add_argument("--slides", type=positive_number, default=4, metavar="N", help="how many slides (default 4)")
    parser.add_argument("--bundle", type=Path, metavar="B", help="model bundle (default: the demo bundle)")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="key that must have signed --bundle")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the simulated slides (default 1)")
    return parser


def _demonstrate(arguments: argparse.Namespace) -> int:
    from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
    from edge.demo.outcome import marks_of_outcomes, table_of_outcomes
    from edge.demo.stage import Players, set_stage

    root = arguments.keep or Path(tempfile.mkdtemp(prefix="mds-edge-demo-"))
    bundle = arguments.bundle or DEMO_BUNDLE
    public_key = arguments.public_key if arguments.bundle else DEMO_PUBLIC_KEY
    progress = Progress()
    stage = set_stage(root, bundle, public_key)
    progress.tell(f"bundle {bundle.name}, folders in {stage.root}")
    with Players(stage) as players:
        players.start_daemon()
        progress.tell("edge-daemon is ready (its own process, journal and spool)")
        outcomes = _play(stage, players, arguments, progress)
    print()
    print(marks_of_outcomes(outcomes))
    print()
    print(table_of_outcomes(outcomes))
    print()
    _tell_where(stage, outcomes)
    accepted = sum(outcome.acknowledged for outcome in outcomes)
    if accepted == arguments.slides:
        return EXIT_DONE
    print(f"only {accepted} of {arguments.slides} slides were accepted in time; see {stage.logs}", file=sys.stderr)
    return EXIT_INTERNAL


class Progress:
    """Prints one line per event with the seconds since the start, so that a person sees the work go on."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def tell(self, text: str) -> None:
        """Print one line."""
        print(f"{time.monotonic() - self._started_s:6.1f} s  {text}", flush=True)


def _play(stage: Stage, players: Players, arguments: argparse.Namespace, progress: Progress) -> Sequence[SlideOutcome]:
    from edge.demo.outcome import read_outcomes

    drop = str(stage.results / "hl7")
    players.start(
        "lis",
        "edge.commands.lis_simulator",
        ["--drop", drop, "--ack", str(stage.acknowledgements), "--for-s", "3600"],
        {},
    )
    exporting = ["slides", "--out", str(stage.export), "--count", str(arguments.slides), "--kind", "mixed"]
    exporting += ["--seed", str(arguments.seed), "--slow-copy"]
    exporting += ["--cells-from", str(arguments.cells)] if arguments.cells else []
    players.start("analyzer", "edge.commands.analyzer_simulator", exporting, {})
    progress.tell("simulated LIS and simulated analyzer started; the analyzer is exporting")
    deadline = time.monotonic() + SECONDS_PER_SLIDE * max(2, arguments.slides)
    seen: dict[str, bool] = {}
    while True:
        outcomes = read_outcomes(stage)
        for outcome in outcomes:
            if seen.get(outcome.slide_key) != outcome.acknowledged:
                seen[outcome.slide_key] = outcome.acknowledged
                event = "accepted by the LIS" if outcome.acknowledged else "analyzed and published"
                progress.tell(f"{outcome.slide_key}: {event} ({outcome.record['images']} cells)")
        finished = len(outcomes) >= arguments.slides and all(outcome.acknowledged for outcome in outcomes)
        if finished or time.monotonic() > deadline or _somebody_failed(players, progress):
            return outcomes
        time.sleep(POLL_S)


def _somebody_failed(players: Players, progress: Progress) -> bool:
    for name, process in players.processes.items():
        status = process.poll()
        if status is not None and (status != 0 or name != "analyzer"):
            progress.tell(f"{name} ended with status {status}: {players.last_words(name)}")
            return True
    return False


def _tell_where(stage: Stage, outcomes: Sequence[SlideOutcome]) -> None:
    print(f"results for the LIS    {stage.results}/hl7/*.hl7   (answers in {stage.acknowledgements})")
    print(f"whole records          {stage.results}/json/*.json")
    reports = sorted(stage.state.glob("archive/**/*.html"))
    for report in reports[:1]:
        print(f"open in a browser      {report}")
    if len(reports) > 1:
        print(f"                       and {len(reports) - 1} more beside it")
    if outcomes:
        print(f"configuration used     {stage.configuration}   logs in {stage.logs}")


if __name__ == "__main__":
    sys.exit(main())
