"""`edge-lis-simulator`: a LIS that polls a drop folder, reads every message strictly and answers."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EXIT_DONE, EXIT_SLIDE_REJECTED, run_command

if TYPE_CHECKING:
    from edge.simulator.lis import Reception, SimulatedLis

DESCRIPTION = """\
Plays the laboratory information system: polls a folder for HL7 files, reads each at once as a strict receiver does,
answers with an HL7 acknowledgement and prints what it understood. Its reader shares no code with the writer.
Exit status 5 when a file was wrong in itself (cut, malformed, contradicting), 0 otherwise.
"""
EXAMPLES = """\
examples:
  edge-lis-simulator --drop /srv/lis-drop/hl7 --ack /srv/lis-drop/ack --for-s 60
  edge-lis-simulator --drop drop/hl7 --delete --once            take files away, answer nothing
  edge-lis-simulator --drop drop/hl7 --ack drop/ack --once --refuse '^A00' --json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulated LIS until told to stop."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in ("drop", "ack"):
        folder = getattr(arguments, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name}: {folder} is not a folder")
    try:
        arguments.refuse = re.compile(arguments.refuse) if arguments.refuse is not None else None
    except re.error as error:
        parser.error(f"--refuse is not a regular expression: {error}")
    return run_command(lambda: _play(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-lis-simulator",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--drop", type=Path, required=True, metavar="DIR", help="folder to poll for *.hl7")
    parser.add_argument("--ack", type=Path, metavar="DIR", help="folder for <name>.ack; left out, nothing is answered")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--once", action="store_true", help="read what is there, answer it and end")
    length.add_argument("--for-s", type=float, metavar="N", help="end after N seconds (default: run until stopped)")
    parser.add_argument("--delete", action="store_true", help="take each file away once it is answered")
    parser.add_argument("--refuse", metavar="PATTERN", help="answer AE when sample or slide matches this expression")
    parser.add_argument("--delay-s", type=float, default=0.0, metavar="N", help="answer N seconds after reading")
    parser.add_argument("--poll-s", type=float, default=0.1, metavar="N", help="pause between two looks (default 0.1)")
    parser.add_argument("--details", action="store_true", help="print every result of every message")
    parser.add_argument("--json", action="store_true", help="print one JSON object a message instead of the table")
    return parser


def _play(arguments: argparse.Namespace) -> int:
    from edge.simulator.lis import LisSettings, SimulatedLis, table_of_receptions

    settings = LisSettings(
        arguments.drop, arguments.ack, arguments.delete, arguments.refuse, max(0.0, arguments.delay_s)
    )
    lis = SimulatedLis(settings, time.monotonic)
    _run(lis, arguments)
    if not arguments.json:
        print(table_of_receptions(lis.receptions))
        print(f"{len(lis.receptions)} files read, {len(lis.faulty)} faulty")
    for name in sorted(lis.foreign):
        print(f"left alone, not a message: {name!r}", file=sys.stderr)
    return EXIT_SLIDE_REJECTED if lis.faulty else EXIT_DONE


def _run(lis: SimulatedLis, arguments: argparse.Namespace) -> None:
    """Poll until the time is over or a signal asks to stop; answers that are due later are still given with --once."""
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    end_s = time.monotonic() + arguments.for_s if arguments.for_s is not None else float("inf")
    try:
        while True:
            for reception in lis.poll():
                _tell(reception, arguments)
            finished = arguments.once and not lis.has_open_answers
            if stopped or finished or time.monotonic() >= end_s:
                return
            time.sleep(max(0.001, arguments.poll_s))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(reception: Reception, arguments: argparse.Namespace) -> None:
    from edge.simulator.lis import facts_of_reception

    message = reception.message
    if arguments.json:
        print(json.dumps(facts_of_reception(reception), ensure_ascii=False), flush=True)
        return
    words = "; ".join(message.faults) or "understood"
    print(f"{reception.file_name}: {message.message_id or '?'} {words}, answered {reception.answer}", flush=True)
    if arguments.details:
        for result in message.results:
            columns = (f"{result.number:4}", f"{result.code:<14}", f"{result.value:>12}", f"{result.unit:<10}")
            print("  ".join((*columns, result.status, result.flag or " ", result.name)))


if __name__ == "__main__":
    raise SystemExit(main())
