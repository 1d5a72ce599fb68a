"""`edge-journal`: what arrived, what became of it, and what a person decides about it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.commands.daemon_presence import is_daemon_there
from edge.errors import EXIT_BY_HAND, EXIT_DONE, EXIT_INTERNAL, run_command
from edge.journal_rows import row_name
from edge.journal_states import SLIDE_MOVES

DESCRIPTION = """\
Reads and changes the journal: through the daemon's control socket while it runs, else under the state folder's lock.

  status        how the daemon is (only while it runs)
  list          slides, newest first, of one state with --state
  show          everything about one slide: arrivals, results, deliveries, audit
  requeue       try a held, quarantined or vanished slide again; or render its parked results again
  release       let a held, late or doubtful slide pass, or one that vanished and was copied before
  discard       close a slide without a result; or give up its other analysis, its parked or its refused results
  reanalyze     analyze a finished slide again with the present bundle
  verify-audit  walk the audit chain and say whether it is whole
  reconcile     account for every slide that was ever seen
  adopt         a new state folder: close every slide that the journal has seen, and take the drop folders over
  accept-clock  the machine's clock is right although the daemon doubts it
  purge         give back now what is older than the retention (only while the daemon runs)

SLIDE is a slide key, source/slide key, a message id, or a journal number as list and show print it: row:12. A bare
number is never a journal number, and a name that fits several slides is refused.

adopt closes only what the journal has seen. With the daemon stopped, just started, or the share away that is nothing,
the drop folders are taken over all the same, and everything in the export folder is sent: first read docs/operate.md,
"A new state folder at an old site".

exit status: 0 done; 2 refused, or no such slide; 6 answered, and a person has to look: the account does not add up, or
adopt closed nothing; 70 the audit chain is broken, or a fault of ours; 75 no daemon answers, or another process has the
books: try again; 78 configuration, journal, or not the state folder's owner while the daemon is down (sudo -u mds-edge)
"""
EXAMPLES = """\
examples:
  edge-journal list --state HELD
  edge-journal show di60/A0042_S1
  edge-journal show row:12
  edge-journal release di60/A0042_S1 --by "K. Sato" --reason "late images belong to the slide"
  sudo -u mds-edge edge-journal reconcile                 while the daemon is down
  edge-journal reanalyze di60/A0042_S1 --by "K. Sato" --reason "bundle wbc-2026.2 is in use"
"""
NOTHING_ADOPTED = """\
warning: NO SLIDE WAS CLOSED. If none was adopted before, this journal has seen none: the daemon is stopped or was just
started, or the share is away. Then whatever is in the export folder will be analyzed and sent as new. If it was
delivered before: systemctl stop mds-edge, and read docs/operate.md, "A new state folder at an old site". Where the
steps of that page were followed: wait, and give the command again."""
DECISIONS = ("requeue", "release", "discard", "reanalyze")
SITE_DECISIONS = ("adopt", "accept-clock", "purge")


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the journal one thing; print the answer."""
    parser = argparse.ArgumentParser(
        "edge-journal", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = ("status", "list", "show", *DECISIONS, "verify-audit", "reconcile", *SITE_DECISIONS)
    parser.add_argument("command", choices=commands, help="what to do")
    parser.add_argument(
        "slide", nargs="?", metavar="SLIDE", help="slide key, source/slide key, message id, or row:NUMBER"
    )
    parser.add_argument("--config", type=Path, default=Path("/etc/mds-edge/mds-edge.toml"), metavar="FILE",
                        help="configuration of the daemon (default %(default)s)")  # fmt: skip
    parser.add_argument("--state", metavar="STATE", help=f"list: only slides in this state: {', '.join(SLIDE_MOVES)}")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="list: at most so many (default %(default)s)"
    )
    parser.add_argument("--by", metavar="NAME", help="who decides")
    parser.add_argument("--reason", metavar="TEXT", help="why; goes into the audit")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    arguments = parser.parse_args(argv)
    if arguments.command in ("show", *DECISIONS) and not arguments.slide:
        parser.error(f"{arguments.command} needs SLIDE")
    if arguments.command in (*DECISIONS, *SITE_DECISIONS) and not (arguments.by and arguments.reason):
        parser.error(f"{arguments.command} needs --by and --reason")
    return run_command(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from edge.config import load_config
    from edge.daemon.control_client import reply_from_daemon

    config = load_config(arguments.config)
    names = ("command", "slide", "by", "reason", "state", "limit")
    request = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.command in ("status", "purge") or is_daemon_there(config.health.socket):
        reply = reply_from_daemon(config.health.socket, request)
    else:
        from edge.daemon.books import opened_books
        from edge.daemon.requests import answer_request

        with opened_books(config) as books:
            reply = answer_request(books, request, uid=os.getuid())
    if not reply["ok"]:
        print(f"error: {reply.get('error', 'the daemon gave no reason')}", file=sys.stderr)
        return int(reply.get("exit", EXIT_INTERNAL))
    print(json.dumps(reply, ensure_ascii=False, indent=1) if arguments.json else _text(arguments.command, reply))
    return _status(arguments.command, reply)


def _status(command: str, reply: Mapping[str, Any]) -> int:
    """Return the exit status of an answer, and say on standard error where it is no good news."""
    if command == "reconcile" and not reply["whole"]:
        return EXIT_BY_HAND
    if command == "adopt" and not reply["slides"] and not reply["deliveries"]:
        print(NOTHING_ADOPTED, file=sys.stderr)
        return EXIT_BY_HAND
    return EXIT_DONE


def _text(command: str, reply: Mapping[str, Any]) -> str:
    """Return the answer as people read it."""
    if command == "list":
        rows = [
            f"{row_name(row['id']):>10}  {row['state']:<14} {row['source']}/{row['slide_key']}  {row['changed_at']}"
            f"  {row['reason_text']}".rstrip()
            for row in reply["slides"]
        ]
        return "\n".join(rows) if rows else "no slides"
    if command == "show":
        return _text_of_slide(reply)
    if command == "verify-audit":
        return f"the audit chain is whole: {reply['rows']} rows, newest hash {reply['head']}"
    if command == "reconcile":
        return _text_of_account(reply)
    if command == "adopt":
        told = f"{reply['slides']} slides were closed and {reply['deliveries']} deliveries given up as delivered before"
        return f"{told}, {reply['drop_folders']} drop folders were taken over"
    if command == "purge":
        told = f"{reply['copies']} spooled copies and {reply['quarantined']} folders of the quarantine were removed"
        return told + (", and more follow" if reply["more"] else "")
    if command == "accept-clock":
        return f"the clock is believed; {reply['rows']} rows were dated anew"
    if command == "status":
        lines = [f"{state:<15} {count}" for state, count in reply["slides"].items() if count]
        lines.append(
            f"model           {'ready' if reply['model']['ready'] else 'not ready'} on {reply['model']['device']}"
        )
        lines.append(f"oldest without a result: {reply['oldest_without_result_s']:.0f} s")
        lines += [f"ALARM {alarm['name']} for {alarm['for_s']} s: {alarm['text']}" for alarm in reply["alarms"]]
        return "\n".join(lines)
    named = f"{row_name(reply['slide'])}  {reply['source']}/{reply['slide_key']}  sample {reply['sample_id']}"
    stopped = f" ({reply['reason_code']}: edge-journal show)" if reply.get("reason_code") else ""
    return f"{named}  is {reply['state']}{stopped}"


def _text_of_account(reply: Mapping[str, Any]) -> str:
    """Return the account as a column of figures that add up, and what does not."""
    names = ("delivered", "waiting", "held", "quarantined", "late", "vanished", "duplicates", "discarded", "purged")
    lines = [f"{'seen':<12} {reply['seen']:>8}", *(f"{name:<12} {reply[name]:>8}" for name in names)]
    lines.append(f"{'difference':<12} {reply['difference']:>8}")
    if reply["delivered_unseen"]:
        lines.append(f"delivered, and gone before it was seen: {', '.join(reply['delivered_unseen'])}")
    if reply["closed_without_result"]:
        lines.append(f"CLOSED WITHOUT A RESULT: {', '.join(map(row_name, reply['closed_without_result']))}")
    return "\n".join(lines)


def _text_of_slide(reply: Mapping[str, Any]) -> str:
    slide = reply["slide"]
    lines = [
        f"{row_name(slide['id'])}  {slide['source']}/{slide['slide_key']}  {slide['state']}",
        *([f"  {slide['reason_text']}"] if slide["reason_text"] else []),
    ]
    lines.append(f"  sample {slide['sample_id']}, {slide['file_count']} files, attempts {slide['attempts']}")
    lines += [
        f"  {row_name(row['id'])} holds other files of the same folder: {row['state']}  {row['reason_text']}".rstrip()
        for row in reply["arrivals"]
        if row["id"] != slide["id"]
    ]
    for revision in reply["revisions"]:
        lines.append(
            f"  result {revision['message_id']}  status {revision['status']}"
            f"  made {revision['made_at']} by {revision['made_by']}"
        )
        lines += [
            f"    {row['output']}  {row['state']}  {row['final_name'] or ''}  {row['reason_text']}".rstrip()
            for row in revision["deliveries"]
        ]
    lines += [
        f"  {row['seq']:>7} {row['at']} {row['actor']}: {row['action']} {row['subject']} {row['old']} -> {row['new']}"
        for row in reply["audit"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
