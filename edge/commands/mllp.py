"""`edge-mllp`: sends the messages of a drop folder over MLLP, for receivers that read no folder. Off by default."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from edge.daemon.backoff import Backoff
from edge.delivery.mllp import MllpSender, MllpSettings, only_sender
from edge.errors import EXIT_DONE, EXIT_TRY_LATER, EdgeError, run_command
from edge.logs import configure_logging, log_error, log_event

log = logging.getLogger("mds_edge.mllp")
DESCRIPTION = """\
Sends every HL7 message that the daemon has published in a drop folder to a receiver over TCP (MLLP), one at a time,
and writes each answer as `<name>.ack` into the acknowledgement folder, where the daemon reads it: configure that
output with ack = "ack-file". A unit of its own (systemd/mds-edge-mllp.service), not enabled by default: the daemon
itself has no network. There is no encryption here; use a separate network or a tunnel.

A message is sent at least once. Stopped between sending and writing the answer down, it is sent again, the same bytes
with the same message id: the receiver must know a repeated message by its id (MSH-10).

exit status: 0 stopped, or with --once all that waited was answered; 2 wrong options; 75 with --once something still
waits; or another sender has the acknowledgement folder: try again
"""
EXAMPLES = """\
examples:
  sudo -u mds-edge edge-mllp --drop /srv/mds-edge/drop/hl7 --ack /srv/mds-edge/drop/ack --to 10.0.0.5:2575
  edge-mllp --drop drop/hl7 --ack drop/ack --to localhost:2575 --once      send what waits and end
"""
PAUSE_FIRST_S, PAUSE_LONGEST_S = 1.0, 300.0


def main(argv: Sequence[str] | None = None) -> int:
    """Send until told to stop; with --once send what waits and return 0 when all of it was answered, else 75."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    host, colon, port = arguments.to.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        parser.error("--to must be HOST:PORT")
    arguments.host, arguments.port = host.strip("[]"), int(port)
    for name in ("connect_s", "answer_s", "poll_s"):
        if not 0.01 <= getattr(arguments, name) <= 3600:
            parser.error(f"--{name.replace('_', '-')} must be 0.01 to 3600 seconds")
    configure_logging(logging.DEBUG if arguments.verbose else logging.INFO)
    return run_command(lambda: _serve(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-mllp", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drop", type=Path, required=True, metavar="DIR", help="drop folder of an hl7 output")
    parser.add_argument("--ack", type=Path, required=True, metavar="DIR", help="acknowledgement folder of that output")
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the receiver")
    parser.add_argument("--connect-s", type=float, default=10.0, metavar="N", help="time to connect (default 10)")
    parser.add_argument(
        "--answer-s", type=float, default=30.0, metavar="N", help="time for the answers to a message (default 30)"
    )
    parser.add_argument("--poll-s", type=float, default=1.0, metavar="N", help="pause between two looks (default 1)")
    parser.add_argument("--take", action="store_true", help="remove a message from the drop folder once it is answered")
    parser.add_argument("--once", action="store_true", help="send what waits now, then end")
    parser.add_argument(
        "--verbose", action="store_true", help="log at level DEBUG: file names and the receiver's words are readable"
    )
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = MllpSettings(
        arguments.drop, arguments.ack, arguments.host, arguments.port, arguments.connect_s, arguments.answer_s,
        arguments.take,
    )  # fmt: skip
    sender, pause = MllpSender(settings), Backoff(PAUSE_FIRST_S, PAUSE_LONGEST_S)
    with only_sender(arguments.ack):
        while not stop.is_set():
            wait_s = arguments.poll_s
            try:
                _send_what_waits(sender, stop)
                pause.succeeded()
            except EdgeError as error:
                # Whatever it was, the message waits in its folder; the order is kept.
                sender.link.close()
                wait_s = pause.failed(0.0)
                log_error(log, error, level=logging.WARNING, tried_again_in_s=round(wait_s))
                if arguments.once:
                    return EXIT_TRY_LATER
            if arguments.once:
                return EXIT_DONE
            stop.wait(wait_s)
    sender.link.close()
    return EXIT_DONE


def _send_what_waits(sender: MllpSender, stop: threading.Event) -> None:
    """Send message after message until none waits; then give the connection back."""
    held_before = sender.held_back
    names = sender.waiting()
    for name in sorted(sender.held_back - held_before):
        log_event(log, logging.WARNING, "held-back", "not sent: a later revision is answered already", file=name)
    for name in names:
        if stop.is_set():
            return
        known = name in sender.left_alone
        sent = sender.send(name)
        if sent is None:
            if name in sender.left_alone and not known:
                log_event(log, logging.WARNING, "left-alone", "no HL7 message that can be sent", file=name)
            continue
        for text in sent.passed_over:
            log_event(log, logging.WARNING, "passed-over", "an answer names another message", file=name, words=text)
        said = "the receiver has confirmed receipt only" if sent.state.receipt_only else "the receiver has answered"
        log_event(
            log, logging.INFO, sent.state.kind, said, file=name, message_id=sent.message_id,
            words=sent.state.text,
        )  # fmt: skip
    sender.link.close()


if __name__ == "__main__":
    raise SystemExit(main())
