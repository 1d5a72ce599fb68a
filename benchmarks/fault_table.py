"""README's table of what the fault benches counted, from benchmarks/faults.json.

Other code begins its counts anew. Until they are whole, `benchmarks/faults_before.json` keeps those of the last state
of the code that was counted in full, and each line shows them beside its own.
"""

from __future__ import annotations

from typing import Any

ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "SIGKILL before a call that changes something",
        ("kill_supervisor", "kill_scanner", "kill_worker", "kill_deliver"),
    ),
    ("such a call fails once, in seven ways", ("error_supervisor", "error_scanner", "error_deliver")),
    (
        "such a call fails for a while",
        ("lasting_error_supervisor", "lasting_error_scanner", "lasting_error_deliver"),
    ),
    ("SIGKILL at a random moment", ("random_kill",)),
    ("power cuts, ext4", ("power_cut_ext4",)),
    ("power cuts, xfs", ("power_cut_xfs",)),
    ("full disks, and disks without inodes", ("full_disk",)),
    ("disks that turn read-only", ("read_only_disk",)),
    ("faults of the export share", ("share", "share_unkillable_scanner")),
    ("steps of the clock", ("clock",)),
    ("stuck workers", ("stuck_worker",)),
    ("stuck supervisors, under systemd", ("stuck_supervisor",)),
    ("random schedules of arrivals", ("arrivals",)),
    ("random schedules of what people decide", ("decisions",)),
    ("slides of a soak, 10,000 for each daemon", ("soak",)),
    ("slides of a soak through one daemon", ("long_soak",)),
    ("mutated images", ("mutated_images",)),
    ("images cut at a byte", ("images_cut_at_every_byte",)),
    ("hostile values through every writer", ("hostile_fields",)),
)
"""What stands in a line, and the benches whose counts it adds up."""
FAULTS = ("lost", "duplicate", "torn", "other")


def readme_table(figures: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """Return the Markdown table: places tried, how much of the whole bench that is, and what was found there.

    `before`: the figures of the state that was counted in full before this one; None for no such column.
    """
    head = "| what was broken | times | of the whole bench | lost | doubled | torn | other faults |"
    lines = [
        head + (" on the state before |" if before else ""),
        "|---|---|---|---|---|---|---|" + "---|" * bool(before),
    ]
    lines += [
        line_of(what, names, figures) + (f" {_in_words(names, before)} |" if before else "") for what, names in ROWS
    ]
    return "\n".join([*lines, "", _note(figures, before), ""])


def line_of(what: str, names: tuple[str, ...], figures: dict[str, Any]) -> str:
    """Return one line of the table."""
    ran = [figures[name] for name in names if name in figures]
    if not ran:
        return f"| {what} | 0 | not run | | | | |"
    found = " | ".join(f"{sum(row[fault] for row in ran):,}" for fault in FAULTS)
    return f"| {what} | {sum(row['points'] for row in ran):,} | {_of_whole(names, ran)} | {found} |"


def _of_whole(names: tuple[str, ...], ran: list[dict[str, Any]]) -> str:
    # A bench of the line that never ran is a part of its whole all the same: the share would look too good.
    missing = len(names) - len(ran)
    share = sum(row["runs"] for row in ran) / sum(row["full_count"] for row in ran)
    return f"{100 * share:.0f} %" + (f", {missing} of {len(names)} parts not run" if missing else "")


def _in_words(names: tuple[str, ...], before: dict[str, Any]) -> str:
    ran = [before[name] for name in names if name in before]
    if not ran:
        return "not run"
    faults = sum(row[fault] for row in ran for fault in FAULTS)
    of_whole = _of_whole(names, ran)
    part = "" if of_whole == "100 %" else f" ({of_whole})"
    return f"{sum(row['points'] for row in ran):,}{part}, {faults or 'no'} fault{'s' * (faults != 1)}"


def _note(figures: dict[str, Any], before: dict[str, Any] | None) -> str:
    note = (
        f"Counted up to {figures['date']} on {_machine(figures)}, all on one state of the code"
        f" ({figures['digest'][:12]}). Of the wrong products that were tried as controls"
        f" {_caught(figures)} were caught."
    )
    if before is None:
        return note
    return (
        f"{note} The state before ({before['digest'][:12]}) was counted up to {before['date']} on {_machine(before)};"
        f" of its controls {_caught(before)} were caught."
    )


def _machine(figures: dict[str, Any]) -> str:
    """The machines that counted, the latest first; the same processor under another kernel is told once."""
    machines = [figures["machine"], *figures["earlier_machines"]]
    return " and ".join(dict.fromkeys(f"{one['cores']} cores of {one['processor']}" for one in machines))


def _caught(figures: dict[str, Any]) -> str:
    controls = figures["controls"].values()
    return f"{sum(any(row[fault] for fault in FAULTS) for row in controls)} of {len(controls)}"
