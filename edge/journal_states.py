"""The states of slides and deliveries, and which change may follow which. Pure data: the journal enforces it.

A slide goes SEEN, SETTLED, SPOOLED, COMPUTED, CLOSED. Beside this stand, each with a reason and listed: HELD,
QUARANTINED, LATE, DUPLICATE, VANISHED, WAITING_SOURCE.

A delivery goes RENDERED, STAGED, SENT, then COLLECTED, ACCEPTED or REFUSED, and in the end ARCHIVED. DELIVERED_UNSEEN:
published and gone before we looked. PARKED: our own check refused the bytes, or the name was taken.
"""

from __future__ import annotations

from types import MappingProxyType

SLIDE_MOVES = MappingProxyType(
    {
        "SEEN": {"SETTLED", "HELD", "VANISHED", "WAITING_SOURCE", "CLOSED"},
        "SETTLED": {
            "SEEN",
            "SPOOLED",
            "HELD",
            "QUARANTINED",
            "DUPLICATE",
            "VANISHED",
            "WAITING_SOURCE",
            "CLOSED",
        },
        "SPOOLED": {"SPOOLED", "COMPUTED", "QUARANTINED", "SEEN", "CLOSED", "HELD", "DUPLICATE"},
        "COMPUTED": {"CLOSED", "SPOOLED"},
        "CLOSED": {"SPOOLED", "COMPUTED"},
        "HELD": {"SEEN", "SETTLED", "HELD", "VANISHED", "CLOSED", "SPOOLED", "QUARANTINED", "DUPLICATE"},
        "QUARANTINED": {"SPOOLED", "SEEN", "CLOSED", "QUARANTINED", "HELD", "DUPLICATE"},
        "LATE": {"SPOOLED", "LATE", "CLOSED", "DUPLICATE"},
        "DUPLICATE": {"SPOOLED", "CLOSED", "DUPLICATE", "HELD", "QUARANTINED"},
        "VANISHED": {"SEEN", "CLOSED", "SPOOLED", "HELD"},
        "WAITING_SOURCE": {"SEEN", "VANISHED", "CLOSED", "HELD"},
    }
)
"""Allowed changes of a slide. SPOOLED to SPOOLED: the folder changed before the analysis began and was read anew."""

NEW_SLIDE_STATES = frozenset({"SEEN", "LATE"})
"""A row begins as SEEN, or as LATE when other files appear under a slide key that already has a result."""

DELIVERY_MOVES = MappingProxyType(
    {
        "RENDERED": {"STAGED", "PARKED", "ARCHIVED"},
        "STAGED": {"SENT", "DELIVERED_UNSEEN", "RENDERED", "PARKED"},
        "SENT": {"COLLECTED", "ACCEPTED", "REFUSED", "ARCHIVED"},
        "DELIVERED_UNSEEN": {"ACCEPTED", "REFUSED", "ARCHIVED"},
        "COLLECTED": {"ACCEPTED", "REFUSED", "ARCHIVED"},
        "ACCEPTED": {"ARCHIVED"},
        "REFUSED": {"ARCHIVED"},
        "PARKED": {"RENDERED", "ARCHIVED"},
        "ARCHIVED": set(),
    }
)
"""Allowed changes of a delivery. STAGED to RENDERED: the staged bytes were found damaged and nothing was published."""

NEW_DELIVERY_STATES = frozenset({"RENDERED", "PARKED"})

UNDELIVERED = ("RENDERED", "STAGED", "PARKED")
"""Deliveries that have not left: a slide with one of these is not CLOSED."""

WITHOUT_RESULT = ("SEEN", "SETTLED", "SPOOLED", "WAITING_SOURCE")
"""Slides on the straight way that have no result yet: their oldest age is the one number a laboratory watches."""

WATCHED = ("SEEN", "SETTLED", "WAITING_SOURCE", "VANISHED")
"""Slides whose folder the scanner still has to judge."""
