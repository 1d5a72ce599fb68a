"""`edge-validate-site`: sends a test result through every configured output and prints a checklist to sign."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EXIT_BY_HAND, EXIT_DONE, EXIT_SLIDE_REJECTED, EXIT_TRY_LATER, EXIT_USAGE, run_command

if TYPE_CHECKING:
    from edge.config import Config
    from edge.site_checklist import Check, Checklist

DESCRIPTION = """\
Sends a test result (mode T, a test sample, simulated numbers) the whole way that a real one goes: through the running
daemon into every configured output, and waits for the pickup or acknowledgement that each output is configured for.
Then prints a checklist: what the machine saw, and what a person looks at in the LIS and signs.

Exit status 0: every configured output was confirmed. 6: nothing failed, but the machine cannot confirm an output (ack =
"none", or a format without a mark for tests): a person must find the test at its receiver, and sign. 75: one still
waits, or no daemon answers. 5: one was refused, stopped or not reached (an edited configuration that the daemon has not
reloaded). 2: the daemon refused the test or a correction (edge-result show tells what was sent), or a page cannot be
written (nothing was sent). 78: the configuration. The test stays in the journal and the archive, marked T, with your
name.
"""
EXAMPLES = """\
examples:
  edge-validate-site --by "K. Sato" --sample 000TEST1
  edge-validate-site --by "K. Sato" --sample 000TEST1 --corrections --html acceptance.html
"""
POLL_S = 0.2
STEPS = {"finalize": "revision 2, final", "withdraw": "revision 3, withdrawn"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the acceptance test of the site's outputs."""
    parser = argparse.ArgumentParser(
        "edge-validate-site", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--by", required=True, metavar="NAME", help="who runs this test; goes into the audit trail")
    parser.add_argument("--sample", required=True, metavar="ID", help="sample id that your LIS keeps for tests; one "
                        "with leading zeros shows whether they survive")  # fmt: skip
    parser.add_argument("--corrections", action="store_true",
                        help="then finalize the test and withdraw it, as two more revisions")  # fmt: skip
    parser.add_argument("--wait-s", type=float, default=120.0, metavar="N", help="time for each answer (default 120)")
    parser.add_argument("--config", type=Path, default=Path("/etc/mds-edge/mds-edge.toml"), metavar="FILE",
                        help="configuration of the daemon (default %(default)s)")  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the checklist as a page to print")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the checklist as Markdown")
    parser.add_argument("--json", action="store_true", help="print the checklist as JSON")
    arguments = parser.parse_args(argv)
    with _new_pages(parser, [path for path in (arguments.html, arguments.markdown) if path is not None]):
        return run_command(lambda: _run(arguments))


@contextlib.contextmanager
def _new_pages(parser: argparse.ArgumentParser, paths: Sequence[Path]) -> Iterator[None]:
    """Make each page, empty, before a test is sent, and take away what stayed empty.

    A page that cannot be written must not be found out about when the test was sent, finalized and withdrawn. Ends the
    command (status 2) where a page is there already or cannot be made.
    """
    made: list[Path] = []
    try:
        for path in paths:
            try:
                if _is_left_empty(path, made):
                    path.open("ab").close()
                else:
                    path.touch(exist_ok=False)
            except FileExistsError:
                parser.error(f"{path} exists already; a signed checklist is not overwritten")
            except OSError as error:
                parser.error(f"{path} cannot be written ({error.strerror}); nothing was sent")
            made.append(path)
        yield
    finally:
        for path in made:
            if path.is_file() and path.stat().st_size == 0:
                path.unlink()


def _is_left_empty(path: Path, made: Sequence[Path]) -> bool:
    """Return whether a run that was killed left this page: it is there, empty, and none that this run made."""
    return path.is_file() and path.stat().st_size == 0 and not any(path.samefile(other) for other in made)


def _run(arguments: argparse.Namespace) -> int:
    from edge.config import load_config
    from edge.site_checklist import html_of_checklist, markdown_of_checklist, text_of_checklist

    config = load_config(arguments.config)
    checklist = _checklist(config, arguments)
    if checklist is None:
        return EXIT_USAGE
    for path, text in ((arguments.html, html_of_checklist), (arguments.markdown, markdown_of_checklist)):
        if path is not None:
            path.write_text(text(checklist), encoding="utf-8")
    if arguments.json:
        rows = [{"text": c.text, "outcome": c.outcome, "seen": c.seen} for c in checklist.checks]
        outcome = {"outcome": checklist.outcome, "conclusion": checklist.conclusion}
        facts = {"facts": dict(checklist.facts), **outcome, "checks": rows}
        print(json.dumps(facts | {"expected": dict(checklist.expected)}, ensure_ascii=False))
    else:
        print(text_of_checklist(checklist))
    statuses = {"yes": EXIT_DONE, "by hand": EXIT_BY_HAND, "waits": EXIT_TRY_LATER, "no": EXIT_SLIDE_REJECTED}
    return statuses[checklist.outcome]


def _checklist(config: Config, arguments: argparse.Namespace) -> Checklist | None:
    from edge import __version__
    from edge.site_checklist import BY_HAND, BY_HAND_CORRECTIONS, Check, Checklist

    request = {"command": "send-test", "sample": arguments.sample, "by": arguments.by, "reason": "site acceptance"}
    sent = _ask(config, request)
    if sent is None:
        return None
    checks = _wait(config, str(sent["message_id"]), "revision 1, preliminary", arguments.wait_s)
    newest = sent
    for command, step in STEPS.items() if arguments.corrections else ():
        decided = {"slide": newest["message_id"], "by": arguments.by, "reason": "site acceptance"}
        revised = _ask(config, {"command": command, **decided})
        if revised is None:
            return None
        checks += _wait(config, str(revised["message_id"]), step, arguments.wait_s)
        newest = revised
    by_hand = BY_HAND + (BY_HAND_CORRECTIONS if arguments.corrections else ())
    checks += [Check(text, "by hand") for text in by_hand]
    facts = (
        ("site", config.site.name or config.site.id), ("software", f"mds-edge {__version__}"),
        ("test", str(sent["message_id"])), ("sample", arguments.sample), ("by", arguments.by),
        ("at", datetime.now(UTC).isoformat(timespec="seconds")),
    )  # fmt: skip
    return Checklist(facts, tuple(checks), tuple((name, value) for name, value in sent["expected"]))


def _wait(config: Config, message_id: str, step: str, wait_s: float) -> list[Check]:
    """Wait until every output has settled this message, or the time is over; say what happened."""
    from edge.daemon.books import output_name
    from edge.site_checklist import checks_of_deliveries, is_settled

    acks = {output_name(output): output.ack for output in config.outputs}
    end_s = time.monotonic() + wait_s
    while True:
        shown = _reply(config, {"command": "show", "slide": message_id})
        revisions = [row for row in shown.get("revisions", ()) if row["message_id"] == message_id]
        # Copy 0 is a report beside a message: it is never answered.
        rows = [row for revision in revisions for row in revision["deliveries"] if row["copy"]]
        configured = [row for row in rows if row["output"] in acks]
        waiting = [row for row in configured if not is_settled(row["state"], acks[row["output"]])]
        if not waiting or time.monotonic() > end_s:
            refusal = "" if shown["ok"] else f"the daemon did not say what became of it: {_error_of(shown)}"
            return checks_of_deliveries(step, rows, acks, refusal=refusal)
        time.sleep(POLL_S)


def _ask(config: Config, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the running daemon; None, with its words printed, when it refuses."""
    reply = _reply(config, request)
    if reply["ok"]:
        return reply
    print(f"error: {_error_of(reply)}", file=sys.stderr)
    return None


def _reply(config: Config, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the running daemon's reply, whether it says ok or not."""
    from edge.daemon.control_client import reply_from_daemon

    return reply_from_daemon(config.health.socket, request)


def _error_of(reply: Mapping[str, Any]) -> str:
    return str(reply.get("error", "the daemon gave no reason"))


if __name__ == "__main__":
    raise SystemExit(main())
