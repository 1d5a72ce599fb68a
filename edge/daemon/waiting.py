"""What waits and for how long: slides for a result, results for a receiver, and both for a person.

Ages are reckoned by the wall clock, because they span restarts; they are told and decide nothing.
"""

from __future__ import annotations

from datetime import datetime

from edge.daemon.house import House
from edge.journal import Journal
from edge.journal_rows import row_name
from edge.journal_states import UNDELIVERED, WITHOUT_RESULT

WAITS_FOR_A_PERSON = ("HELD", "QUARANTINED", "LATE")
STRANDED_ALARM = "results-without-output"
REPLACED_ALARM = "results-of-replaced-files"
_HAS_RESULT = (
    "EXISTS (SELECT 1 FROM slides t CROSS JOIN revisions r ON r.slide_id = t.id"
    " WHERE t.source = s.source AND t.slide_key = s.slide_key AND r.status != 'X')"
)


def raise_alarms_for_people(house: House) -> None:
    """Raise an alarm for everything that waits for a person's decision, and clear it when nothing does."""
    journal, now_s = house.books.journal, house.monotonic()
    waiting = {f"slides-{state}": journal.slides.count(state) for state in WAITS_FOR_A_PERSON}
    waiting["slides-VANISHED"] = vanished_to_decide(journal)
    waiting["slides-DUPLICATE"] = house.duplicates_to_decide.value(journal, now_s)
    waiting |= {f"results-{state}": count for state, count in journal.results.unanswered().items()}
    for name, count in waiting.items():
        if count:
            kind, _, state = name.partition("-")
            text = f"{count} {kind} {state}: a person has to decide (edge-journal list)"
            house.alarms.raise_alarm(name, text, now_s, is_open=True)
        else:
            house.alarms.clear(name)
    watch_former_outputs(house, now_s)
    watch_replaced_files(house, now_s)


def watch_former_outputs(house: House, now_s: float) -> None:
    """Raise an alarm while results wait for outputs that are configured no longer: nothing will ever take them."""
    outputs = house.books.outputs()
    rows = house.books.journal.connection.execute(
        "SELECT d.output, count(DISTINCT r.id), min(r.slide_id) FROM deliveries d CROSS JOIN revisions r"
        " ON r.id = d.revision_id WHERE d.state IN ('RENDERED', 'STAGED') GROUP BY d.output"
    )
    stranded = [(f"{count} for {name}", slide_id) for name, count, slide_id in rows if name not in outputs]
    if not stranded:
        house.alarms.clear(STRANDED_ALARM)
        return
    text = f"results wait for outputs that are configured no longer ({', '.join(told for told, _ in stranded)}):"
    first = row_name(min(slide_id for _, slide_id in stranded))
    text = f"{text} configure them again, or give them up with edge-journal discard {first} (edge-result open: all)"
    house.alarms.raise_alarm(STRANDED_ALARM, text, now_s, is_open=True)


def vanished_to_decide(journal: Journal) -> int:
    """Count the slides whose folder went away after it had been read, or a person had released it.

    One that was never read is a name for a moment: an analyzer writes under it and renames the folder.
    """
    query = "SELECT count(*) FROM slides WHERE state = 'VANISHED' AND (manifest_sha256 IS NOT NULL OR released)"
    return int(journal.connection.execute(query).fetchone()[0])


def watch_replaced_files(house: House, now_s: float) -> None:
    """Raise an alarm while a result stands that was made of files which its folder holds no longer."""
    count = house.results_of_replaced_files.value(house.books.journal, now_s)
    if not count:
        house.alarms.clear(REPLACED_ALARM)
        return
    text = f"{count} results stand that were made of files which their folders no longer hold; earlier ones are back:"
    text = f"{text} edge-journal reanalyze the earlier arrival (row:N), or edge-result withdraw"
    house.alarms.raise_alarm(REPLACED_ALARM, text, now_s, is_open=True)


def age_s(house: House, text: str) -> float:
    """Return the age of a journal time in seconds, never negative: the clock may have been set back."""
    return max(0.0, (house.books.wall() - datetime.fromisoformat(text)).total_seconds())


def oldest_without_result(journal: Journal) -> tuple[str, int] | None:
    """Return since when the slide that has waited longest for its result waits, and its id; None when none does.

    One that has a result already (analyzed again, late files released) waits since the decision, not since it was seen.
    """
    marks = ",".join("?" * len(WITHOUT_RESULT))
    first = f"SELECT seen_at, id FROM slides s WHERE state IN ({marks}) AND NOT {_HAS_RESULT} ORDER BY id LIMIT 1"  # noqa: S608 - our own words
    again = f"SELECT changed_at, id FROM slides s WHERE state = 'SPOOLED' AND {_HAS_RESULT} ORDER BY changed_at LIMIT 1"  # noqa: S608 - our own words
    rows = (
        journal.connection.execute(first, WITHOUT_RESULT).fetchone(),
        journal.connection.execute(again).fetchone(),
    )
    return min(((str(row[0]), int(row[1])) for row in rows if row is not None), default=None)


def oldest_undelivered_s(house: House) -> float:
    """Return the age of the oldest delivery that has not left yet, 0 when there is none."""
    marks = ",".join("?" * len(UNDELIVERED))
    row = house.books.journal.connection.execute(
        f"SELECT min(made_at) FROM deliveries WHERE state IN ({marks})",  # noqa: S608 - marks only
        UNDELIVERED,
    ).fetchone()
    return 0.0 if row[0] is None else age_s(house, row[0])


def oldest_uncollected_s(house: House) -> float:
    """Return the age of the oldest published result that its receiver has neither taken nor answered."""
    awaited = [name for name, output in house.books.outputs().items() if output.ack != "none"]
    marks = ",".join("?" * len(awaited))
    row = house.books.journal.connection.execute(
        f"SELECT min(changed_at) FROM deliveries WHERE state = 'SENT' AND output IN ({marks})",  # noqa: S608 - marks only
        awaited,
    ).fetchone()
    return 0.0 if row[0] is None else age_s(house, row[0])
