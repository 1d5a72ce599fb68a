"""README's table of what the fault benches counted, from benchmarks/faults.json."""

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
    ("slides of a soak, 10,000 for each daemon", ("soak",)),
    ("slides of a soak through one daemon", ("long_soak",)),
    ("mutated images", ("mutated_images",)),
    ("images cut at a byte", ("images_cut_at_every_byte",)),
    ("hostile values through every writer", ("hostile_fields",)),
)
"""What stands in a line, and the benches whose counts it adds up."""
FAULTS = ("lost", "duplicate", "torn", "other")


def readme_table(figures: dict[str, Any]) -> str:
    """Return the Markdown table: places tried, how much of the whole bench that is, and what was found there."""
    lines = ["| what was broken | times | of the whole bench | lost | doubled | torn | other faults |"]
    lines.append("|---|---|---|---|---|---|---|")
    for what, names in ROWS:
        ran = [figures[name] for name in names if name in figures]
        if not ran:
            lines.append(f"| {what} | 0 | not run | | | | |")
            continue
        # A bench of the line that never ran is a part of its whole all the same: the share would look too good.
        missing = len(names) - len(ran)
        share = sum(row["runs"] for row in ran) / sum(row["full_count"] for row in ran)
        of_whole = f"{100 * share:.0f} %" + (f", {missing} of {len(names)} parts not run" if missing else "")
        found = " | ".join(f"{sum(row[fault] for row in ran):,}" for fault in FAULTS)
        lines.append(f"| {what} | {sum(row['points'] for row in ran):,} | {of_whole} | {found} |")
    controls = figures["controls"].values()
    caught = sum(any(row[fault] for fault in FAULTS) for row in controls)
    machine = figures["machine"]
    state = f"all on one state of the code ({figures['digest'][:12]})"
    note = (
        f"Counted up to {figures['date']} on {machine['cores']} cores of {machine['processor']}, {state}. Of"
        f" {len(controls)} wrong products that were tried as controls, {caught} were caught."
    )
    return "\n".join([*lines, "", note, ""])
