"""The requests of the control socket, by name: what people and programs may ask of the books.

    list, show, open-results, verify-audit                  read
    requeue, release, discard, reanalyze                    decide about a slide      (need slide, by, reason)
    finalize, withdraw, resend                              decide about a result     (need slide, by, reason)
    reconcile                                               every slide accounted for
    adopt, accept-clock                                     decide about the site         (need by, reason)
    send-test                                               a test result, every output  (needs sample, by, reason)

The same functions answer a running daemon's socket and a command that holds the lock itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from edge.audit import AuditEvent, verify_audit
from edge.daemon.adoption import adopt
from edge.daemon.books import Books, output_name
from edge.daemon.clock_guard import redate_rows
from edge.daemon.corrections import finalize, resend, withdraw
from edge.daemon.decisions import discard, reanalyze, release, requeue
from edge.daemon.reconciliation import is_whole, reconcile
from edge.daemon.site_test import expected_rows, send_test
from edge.daemon.slide_names import find_slide, is_slide_key, require_newest_result
from edge.errors import EdgeError
from edge.journal_rows import RevisionRow, SlideRow, row_name
from edge.journal_states import SLIDE_MOVES

LIST_MAX = 10_000
OPEN_MAX = 1_000
TEXT_CHARACTERS_MAX = 500
SLIDE_DECISIONS: dict[str, Callable[..., SlideRow]] = {
    "requeue": requeue, "release": release, "discard": discard, "reanalyze": reanalyze,
}  # fmt: skip
RESULT_DECISIONS: dict[str, Callable[..., RevisionRow]] = {
    "finalize": finalize, "withdraw": withdraw, "resend": resend,
}  # fmt: skip
SITE_DECISIONS = ("adopt", "accept-clock")
COMMANDS = (
    "list", "show", "open-results", "verify-audit", "reconcile", "send-test", *SITE_DECISIONS, *SLIDE_DECISIONS,
    *RESULT_DECISIONS,
)  # fmt: skip


def answer_request(books: Books, request: Mapping[str, Any], *, uid: int) -> dict[str, Any]:
    """Carry out one request and return its reply; raises EdgeError, MDSE-DAEMON-012 for one we do not know.

    `uid` is the caller's user id as the kernel told it; it goes into the audit beside the name the caller gives.
    """
    command = request.get("command")
    if not isinstance(command, str):
        raise EdgeError("MDSE-DAEMON-012", reason="command must be a text")
    if command == "list":
        return {"ok": True, "slides": list_slides(books, request)}
    if command == "verify-audit":
        return check_audit(books)
    if command == "reconcile":
        account = reconcile(books)
        return {"ok": True, "whole": is_whole(account), **account}
    if command in SITE_DECISIONS:
        return decide_site(books, command, request, uid)
    if command == "send-test":
        return plan_test(books, request, uid)
    if command == "open-results":
        return {"ok": True, "results": list_open_results(books)}
    if command == "show":
        return {"ok": True} | describe_slide(books, find_slide(books, text_of(request, "slide")))
    if command in SLIDE_DECISIONS or command in RESULT_DECISIONS:
        return decide(books, command, request, uid)
    raise EdgeError("MDSE-DAEMON-012", reason=f"no request is called {command!r}")


def decide(books: Books, command: str, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
    """Carry out a person's decision, audited with name, user id and reason."""
    name_of_slide, reason = text_of(request, "slide"), text_of(request, "reason")
    slide, by = find_slide(books, name_of_slide), f"uid:{uid} {text_of(request, 'by')}"
    with books.journal.change():
        asked = AuditEvent(by, f"asked to {command}", f"slide:{slide.id}", slide.state, slide.state, {"reason": reason})
        books.journal.note(asked)
        if command in SLIDE_DECISIONS:
            if is_slide_key(slide, name_of_slide):
                slide = the_arrival(books, command, slide, by=by, reason=reason)
            after = SLIDE_DECISIONS[command](books, slide, by=by, reason=reason)
            asked_again = after.reason_code if after.state in ("HELD", "LATE") else ""
            return {"ok": True, **identity_of(after), "state": after.state, "reason_code": asked_again}
        require_newest_result(books, slide, name_of_slide)
        revision = RESULT_DECISIONS[command](books, slide, by=by, reason=reason)
    return {
        "ok": True, **identity_of(books.journal.slides.get(revision.slide_id)), "message_id": revision.message_id,
        "revision": revision.number, "status": revision.status,
    }  # fmt: skip


def the_arrival(books: Books, command: str, slide: SlideRow, *, by: str, reason: str) -> SlideRow:
    """Return the one arrival of a slide key for which a decision is possible; where there is none, the newest.

    Each is tried and undone: what a decision allows is said in one place, in the decision. Raises EdgeError
    MDSE-JOURNAL-023 when there are several.
    """
    possible: list[SlideRow] = []
    for row in books.journal.slides.arrivals(slide.source, slide.slide_key):
        with contextlib.suppress(EdgeError), books.journal.trial():
            SLIDE_DECISIONS[command](books, row, by=by, reason=reason)
            possible.append(row)
    if len(possible) > 1:
        where, names = f"{slide.source}/{slide.slide_key}", ", ".join(row_name(row.id) for row in possible)
        raise EdgeError("MDSE-JOURNAL-023", where=where, command=command, count=len(possible), names=names)
    return possible[0] if possible else slide


def identity_of(slide: SlideRow) -> dict[str, Any]:
    """Return whose slide a decision was about, so that the person who decided sees it."""
    return {"slide": slide.id, "source": slide.source, "slide_key": slide.slide_key, "sample_id": slide.sample_id}


def decide_site(books: Books, command: str, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
    """Carry out a person's decision about the whole site, audited with name, user id and reason."""
    by, reason = f"uid:{uid} {text_of(request, 'by')}", text_of(request, "reason")
    with books.journal.change():
        books.journal.note(AuditEvent(by, f"asked to {command}", "journal", detail={"reason": reason}))
        if command == "adopt":
            return {"ok": True, **adopt(books, by=by, reason=reason)}
        return {"ok": True, "rows": redate_rows(books, by=by)}


def plan_test(books: Books, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
    """Send a test result to every output, audited; the reply says what a person should see at the LIS."""
    by = f"uid:{uid} {text_of(request, 'by')}"
    sample, reason = text_of(request, "sample"), text_of(request, "reason")
    revision, record = send_test(books, sample_id=sample, by=by, reason=reason)
    return {
        "ok": True,
        "slide": revision.slide_id,
        "message_id": revision.message_id,
        "expected": expected_rows(record),
    }


def text_of(request: Mapping[str, Any], name: str) -> str:
    """Return a text of the request; raises EdgeError MDSE-DAEMON-012 when it is missing, too long or unprintable."""
    value = request.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_CHARACTERS_MAX or not value.isprintable():
        raise EdgeError(
            "MDSE-DAEMON-012", reason=f"{name} must be a printable text of 1 to {TEXT_CHARACTERS_MAX} characters"
        )
    return value.strip()


def list_slides(books: Books, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the slides in a state (all when none is named), newest first, with what a table needs."""
    state = request.get("state")
    if state is not None and not (isinstance(state, str) and state in SLIDE_MOVES):
        raise EdgeError("MDSE-DAEMON-012", reason=f"no state is called {state!r}; known: {', '.join(SLIDE_MOVES)}")
    limit = request.get("limit", 100)
    if not isinstance(limit, int) or not 1 <= limit <= LIST_MAX:
        raise EdgeError("MDSE-DAEMON-012", reason=f"limit must be 1 to {LIST_MAX}")
    states = [state] if state else list(SLIDE_MOVES)
    marks = ",".join("?" * len(states))
    rows = books.journal.connection.execute(
        f"SELECT id FROM slides WHERE state IN ({marks}) ORDER BY id DESC LIMIT ?",  # noqa: S608 - marks only
        (*states, limit),
    ).fetchall()
    return [slide_facts(books.journal.slides.get(row[0])) for row in rows]


def list_open_results(books: Books) -> list[dict[str, Any]]:
    """Return every delivery that waits for the LIS or for a person, oldest first, with the receiver's words."""
    states = ("RENDERED", "STAGED", "SENT", "REFUSED", "PARKED", "DELIVERED_UNSEEN")
    unanswered = {output_name(output) for output in books.config.outputs if output.ack == "none"}
    marks = ",".join("?" * len(states))
    names = ("id", "output", "state", "final_name", "copy", "reason_text", "changed_at", "message_id", "status",
             "source", "slide_key", "slide")  # fmt: skip
    rows = books.journal.connection.execute(
        "SELECT d.id, d.output, d.state, d.final_name, d.copy, d.reason_text, d.changed_at, r.message_id, r.status,"  # noqa: S608 - marks only
        " s.source, s.slide_key, s.id FROM deliveries d JOIN revisions r ON r.id = d.revision_id"
        f" JOIN slides s ON s.id = r.slide_id WHERE d.state IN ({marks}) ORDER BY d.id LIMIT ?",
        (*states, OPEN_MAX),
    )
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [row for row in found if not (row["state"] == "SENT" and row["output"] in unanswered)]


def slide_facts(slide: SlideRow) -> dict[str, Any]:
    """Return a slide's row as JSON takes it."""
    facts = dataclasses.asdict(slide)
    del facts["folder"]
    return facts


def describe_slide(books: Books, slide: SlideRow) -> dict[str, Any]:
    """Return everything the journal knows of a slide: the row, every arrival, result, delivery and audit row."""
    journal = books.journal
    revisions = []
    for revision in journal.results.revisions_of_folder(slide.source, slide.slide_key):
        deliveries = [dataclasses.asdict(row) for row in journal.results.deliveries_of(revision.id)]
        revisions.append(dataclasses.asdict(revision) | {"deliveries": deliveries})
    subjects = [f"slide:{slide.id}"]
    for facts in revisions:
        if facts["slide_id"] == slide.id:
            subjects += [f"revision:{facts['id']}", *(f"delivery:{row['id']}" for row in facts["deliveries"])]
    marks = ",".join("?" * len(subjects))
    audit = journal.connection.execute(
        f"SELECT seq, at, actor, action, subject, old, new, detail FROM audit WHERE subject IN ({marks}) ORDER BY seq",  # noqa: S608 - marks only
        subjects,
    )
    names = ("seq", "at", "actor", "action", "subject", "old", "new", "detail")
    return {
        "slide": slide_facts(slide),
        "arrivals": [slide_facts(row) for row in journal.slides.arrivals(slide.source, slide.slide_key)],
        "revisions": revisions,
        "audit": [dict(zip(names, row, strict=True)) for row in audit],
    }


def check_audit(books: Books) -> dict[str, Any]:
    """Return what verifying the audit chain found; a broken chain is an error (MDSE-JOURNAL-013)."""
    check = verify_audit(books.journal.connection)
    if check.broken_at is not None:
        raise EdgeError("MDSE-JOURNAL-013", where=f"audit row {check.broken_at}", reason=check.reason)
    return {"ok": True, "rows": check.rows, "head": check.head}
