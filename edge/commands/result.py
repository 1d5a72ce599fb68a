"""`edge-result`: release, withdraw or send again a result that the daemon holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EXIT_DONE, EXIT_INTERNAL, run_command

DESCRIPTION = """\
Changes the state of a result that was published. Each change becomes a numbered revision that names its predecessor,
and is written into the audit trail with the name you give, the reason and your user id.

  finalize   the result was reviewed: it is sent again as final (status F)
  withdraw   the result must not be used (wrong sample, wrong slide): it is sent as withdrawn (status W)
  resend     the LIS lost it: the same bytes are delivered once more, under a new file name, with the same message id
"""
EXAMPLES = """\
examples:
  edge-result finalize A0042_S1 --by "K. Sato" --reason "reviewed on the smear"
  edge-result withdraw A0042_S1 --by "K. Sato" --reason "wrong sample label"
  edge-result resend A0042_S1 --by "K. Sato" --reason "the LIS was restored from a backup"
"""
TEXT_CHARACTERS_MAX = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the running daemon for one change; return 0 when it was made."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in ("slide", "by", "reason"):
        text = getattr(arguments, name).strip()
        if not text or not text.isprintable() or len(text) > TEXT_CHARACTERS_MAX:
            parser.error(f"{name} must be a printable text of 1 to {TEXT_CHARACTERS_MAX} characters")
        setattr(arguments, name, text)
    return run_command(lambda: _ask(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-result", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("finalize", "withdraw", "resend"), help="what to do")
    parser.add_argument("slide", metavar="SLIDE", help="slide key, or source/slide key when two sources share it")
    parser.add_argument("--by", required=True, metavar="NAME", help="who decides this")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; goes into the audit trail and the result")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="control socket of the daemon")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take the socket from this configuration")
    parser.add_argument("--json", action="store_true", help="print the daemon's reply as JSON")
    return parser


def _ask(arguments: argparse.Namespace) -> int:
    from edge.daemon.control_client import DEFAULT_SOCKET, reply_from_daemon

    socket_path = arguments.socket or DEFAULT_SOCKET
    if arguments.config is not None and arguments.socket is None:
        from edge.config import load_config

        socket_path = load_config(arguments.config).health.socket
    request = {name: getattr(arguments, name) for name in ("command", "slide", "by", "reason")}
    reply = reply_from_daemon(socket_path, request)
    if arguments.json:
        print(json.dumps(reply, ensure_ascii=False, sort_keys=True))
    elif reply["ok"]:
        facts = ", ".join(f"{name} {value}" for name, value in reply.items() if name != "ok")
        print(f"{arguments.command}: done" + (f" ({facts})" if facts else ""))
    if reply["ok"]:
        return EXIT_DONE
    status = reply.get("exit")
    print(f"error: {reply.get('error', 'the daemon gave no reason')}", file=sys.stderr)
    return status if isinstance(status, int) and 0 < status < 126 else EXIT_INTERNAL


if __name__ == "__main__":
    raise SystemExit(main())
