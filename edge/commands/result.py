"""`edge-result`: see what became of results; finalize, withdraw or send again one that the daemon holds."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.commands.daemon_presence import is_daemon_there, is_state_of_another
from edge.errors import EXIT_DONE, EXIT_INTERNAL, EdgeError, run_command
from edge.journal_rows import row_name

DESCRIPTION = """\
Shows what became of results, and changes the state of one that was published. Each change becomes a numbered revision
that names its predecessor, and is written into the audit trail with the name you give, the reason and your user id.

  show       every revision of a slide's result, each delivery and what the receiver said
  open       all results that wait for the LIS or for a person: not collected, refused, set aside by our own check
  finalize   the result was reviewed: it is sent again as final (status F)
  withdraw   the result must not be used (wrong sample, wrong slide): it is sent as withdrawn (status W)
  resend     the LIS lost it: the same bytes are delivered once more, under a new file name, with the same message id

SLIDE is a slide key, source/slide key, a message id, or a journal number as edge-journal list prints it: row:12. A bare
number is never a journal number, a sample id names no slide, and a name that fits several slides is refused.

While the daemon is down the owner of the state folder may run it: sudo -u mds-edge edge-result ...

exit status: 0 done; 2 refused, or no such result; 70 a fault of ours; 75 no daemon answers, or another process has the
books: try again; 78 configuration, journal or user
"""
EXAMPLES = """\
examples:
  edge-result open
  edge-result show A0042_S1
  edge-result finalize A0042_S1 --by "K. Sato" --reason "reviewed on the smear"
  edge-result withdraw A0042_S1 --by "K. Sato" --reason "wrong sample label"
  edge-result resend A0042_S1 --by "K. Sato" --reason "the LIS was restored from a backup"
"""
DECISIONS = ("finalize", "withdraw", "resend")
TEXT_CHARACTERS_MAX = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the running daemon for one fact or one change; return 0 when it was given or made."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    needed = {"open": (), "show": ("slide",)}.get(arguments.command, ("slide", "by", "reason"))
    for name in needed:
        text = (getattr(arguments, name) or "").strip()
        if not text or not text.isprintable() or len(text) > TEXT_CHARACTERS_MAX:
            parser.error(f"{name} must be a printable text of 1 to {TEXT_CHARACTERS_MAX} characters")
        setattr(arguments, name, text)
    return run_command(lambda: _ask(arguments, needed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-result", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("show", "open", *DECISIONS), help="what to do")
    parser.add_argument(
        "slide", nargs="?", metavar="SLIDE", help="slide key, source/slide key, message id, or row:NUMBER"
    )
    parser.add_argument("--by", metavar="NAME", help="who decides this (finalize, withdraw, resend)")
    parser.add_argument("--reason", metavar="TEXT", help="why; goes into the audit trail and the result")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="control socket of the daemon")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of the daemon (default /etc/mds-edge/mds-edge.toml, while no daemon listens at its usual "
        "socket); while the daemon is down the answer comes from its books",
    )
    parser.add_argument("--json", action="store_true", help="print the daemon's reply as JSON")
    return parser


def _ask(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    request = {name: getattr(arguments, name) for name in ("command", *names)}
    request["command"] = {"open": "open-results"}.get(arguments.command, arguments.command)
    reply = _reply(arguments, request)
    if arguments.json:
        print(json.dumps(reply, ensure_ascii=False, sort_keys=True))
    elif reply["ok"]:
        print(_text(arguments.command, reply))
    if reply["ok"]:
        return EXIT_DONE
    status = reply.get("exit")
    print(f"error: {reply.get('error', 'the daemon gave no reason')}", file=sys.stderr)
    return status if isinstance(status, int) and 0 < status < 126 else EXIT_INTERNAL


def _reply(arguments: argparse.Namespace, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the daemon; with a configuration at hand and no daemon running, take the lock and answer from the books."""
    from edge.daemon.control_client import DEFAULT_SOCKET, reply_from_daemon

    path = None if arguments.socket is not None else arguments.config or _installed_config()
    if path is None:
        return reply_from_daemon(arguments.socket or DEFAULT_SOCKET, request)
    from edge.config import load_config

    config = load_config(path)
    # Another user who named no configuration is told to try again: most often the daemon is only being started anew.
    ask_only = arguments.config is None and is_state_of_another(config.site.state_dir)
    if ask_only or is_daemon_there(config.health.socket):
        return reply_from_daemon(config.health.socket, request)
    from edge.daemon.books import opened_books
    from edge.daemon.requests import answer_request

    with opened_books(config) as books:
        return answer_request(books, request, uid=os.getuid())


def _installed_config() -> Path | None:
    """Return the configuration in its usual place where it is needed: no daemon listens at the usual socket.

    A running daemon is asked without it: a result must be withdrawn also while the file is being edited.
    """
    from edge.daemon.control_client import DEFAULT_SOCKET

    try:
        if is_daemon_there(DEFAULT_SOCKET):
            return None
    except EdgeError:
        return None  # asking it says why it cannot be asked
    from edge.config import DEFAULT_CONFIG_PATH

    return DEFAULT_CONFIG_PATH if os.path.exists(DEFAULT_CONFIG_PATH) else None  # noqa: PTH110 - False where we may not look


def _text(command: str, reply: Mapping[str, Any]) -> str:
    if command == "open":
        lines = [
            f"{row['state']:<16} {row['message_id']} ({row['status']})  {row_name(row['slide'])}"
            f"  {row['source']}/{row['slide_key']}  {row['output']}  since {row['changed_at']}"
            f"  {row['reason_text']}".rstrip()
            for row in reply["results"]
        ]
        return "\n".join(lines) or "nothing waits: every result was delivered"
    if command == "show":
        return "\n".join(line for revision in reply["revisions"] for line in _lines_of_revision(revision))
    told = {name: row_name(value) if name == "slide" else value for name, value in reply.items() if name != "ok"}
    facts = ", ".join(f"{name} {value}" for name, value in told.items())
    return f"{command}: done" + (f" ({facts})" if facts else "")


def _lines_of_revision(revision: Mapping[str, Any]) -> list[str]:
    replaced = f", replaces {revision['supersedes']}" if revision["supersedes"] else ""
    reason = f", because {revision['reason']}" if revision["reason"] else ""
    head = f"{revision['message_id']}  status {revision['status']}  {revision['made_at']} by {revision['made_by']}"
    deliveries = [
        f"  {row['state']:<16} {row['output']}  {row['final_name'] or ''}  {row['reason_text']}".rstrip()
        for row in revision["deliveries"]
    ]
    return [head + replaced + reason, *deliveries]


if __name__ == "__main__":
    raise SystemExit(main())
