"""`edge-lis-simulator`: a LIS that takes files as real readers do, reads every format strictly, and answers."""

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
    from edge.simulator.lis_mllp import MllpDoor

DESCRIPTION = """\
Plays the laboratory information system: takes files from a drop folder (or messages over MLLP), reads HL7 ORU and OUL,
LIS2-A2, both CSV forms, FHIR and the JSON record as a strict receiver does, answers, and prints what it understood. Its
readers share no code with the writers.

Only at a drop folder that no LIS reads, while nothing but tests is exported: what it answers counts as accepted, what
it takes as collected, and nothing sends that again by itself. Run it as the service's user (sudo -u mds-edge);
afterwards edge-result resend what a LIS should have had.

  --reader strict     takes our endings at once: whatever goes wrong while publishing shows itself
  --reader mirth      takes everything without a leading dot that is 1 s old; moves or deletes it (needs --delete)
  --reader senaite    takes everything at once, leaves it, and writes imported.csv and logs.log into the drop folder
  --reader openelis   takes our endings once unchanged for 3 s, leaves them, knows a file by its content

exit status: 0 every file was whole; 2 wrong options; 5 a file was wrong in itself (cut, malformed, contradicting)
"""
EXAMPLES = """\
examples:
  edge-lis-simulator --drop /srv/lis-drop/hl7 --ack /srv/lis-drop/ack --for-s 60
  edge-lis-simulator --drop drop/hl7 --delete --once            take files away, answer nothing
  edge-lis-simulator --drop drop/hl7 --ack drop/ack --once --refuse '^A00' --json
  edge-lis-simulator --drop drop/csv --reader senaite --for-s 60
  edge-lis-simulator --drop drop/hl7 --listen 2575              also take messages over MLLP
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
    if arguments.reader == "mirth" and not arguments.delete:
        parser.error("--reader mirth needs --delete: a file that stays is read again at every look")
    if arguments.reader in ("senaite", "openelis") and arguments.delete:
        parser.error(f"--reader {arguments.reader} never deletes a file")
    if arguments.listen is not None and not 0 <= arguments.listen <= 65_535:
        parser.error("--listen must be a port, 0 to 65535")
    return run_command(lambda: _play(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-lis-simulator",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--drop", type=Path, required=True, metavar="DIR", help="folder to take files from")
    parser.add_argument("--ack", type=Path, metavar="DIR", help="folder for <name>.ack; left out, nothing is answered")
    parser.add_argument("--reader", choices=("strict", "mirth", "senaite", "openelis"), default="strict",
                        help="whose habits it has in the folder (default strict)")  # fmt: skip
    parser.add_argument("--listen", type=int, metavar="PORT", help="take messages over MLLP on this machine, too")
    parser.add_argument("--collect", type=Path, metavar="DIR", help="keep a copy of every file that was not whole")
    parser.add_argument("--no-offsets", action="store_true",
                        help="cannot read HL7 times with an offset (for times_with_offset = false)")  # fmt: skip
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
    from edge.simulator.lis import LisSettings, SimulatedLis
    from edge.simulator.lis_mllp import MllpDoor
    from edge.simulator.lis_print import table_of_receptions

    settings = LisSettings(
        arguments.drop, arguments.ack, arguments.delete, arguments.refuse, max(0.0, arguments.delay_s),
        arguments.reader, arguments.collect, not arguments.no_offsets,
    )  # fmt: skip
    lis = SimulatedLis(settings, time.monotonic)
    door = MllpDoor(arguments.listen) if arguments.listen is not None else None
    if door is not None:
        print(f"listening for MLLP on 127.0.0.1:{door.port}", file=sys.stderr, flush=True)
    try:
        _run(lis, arguments, door)
    finally:
        if door is not None:
            door.close()
    if not arguments.json:
        print(table_of_receptions(lis.receptions))
        print(f"{len(lis.receptions)} files read, {len(lis.faulty)} faulty")
        if lis.passed_over:
            print(f"{lis.passed_over} files passed over: their content was known")
    for name in sorted(lis.foreign):
        print(f"left alone, not a message: {name!r}", file=sys.stderr)
    return EXIT_SLIDE_REJECTED if lis.faulty else EXIT_DONE


def _run(lis: SimulatedLis, arguments: argparse.Namespace, door: MllpDoor | None) -> None:
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
            # With a door open, waiting is done there.
            for reception in door.poll(lis, max(0.001, arguments.poll_s)) if door is not None else ():
                _tell(reception, arguments)
            finished = arguments.once and not lis.has_open_answers
            if stopped or finished or time.monotonic() >= end_s:
                return
            if door is None:
                time.sleep(max(0.001, arguments.poll_s))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(reception: Reception, arguments: argparse.Namespace) -> None:
    from edge.simulator.lis_print import facts_of_reception

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
