"""Text and times as HL7 v2.5.1 carries them.

Free text becomes plain ASCII, because receivers disagree about character sets; identifiers are never changed: one that
cannot be carried as it is stops the message.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from edge.errors import EdgeError
from edge.writers.record_reading import record_fault

ST_LIMIT = 199
IDENTIFIER_LIMIT = 150

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)
# Letters that Unicode does not take apart, and punctuation that word processors put into names and comments.
# The look-alikes are the point: RUF001 is ignored on these lines.
_ASCII = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "ı": "i", "µ": "u", "μ": "u", "°": " deg", "×": "x", "÷": "/",  # noqa: RUF001
    "–": "-", "—": "-", "−": "-", "‐": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "≤": "<=", "≥": ">=",  # noqa: RUF001
    "±": "+/-", "\t": " ", "\u00a0": " ",
}  # fmt: skip

# 10 with a raised 9 is not 109: a run of raised figures and signs gets a caret, a fraction stands apart from the number
# before it, and a struck-out sign is not the sign.
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207b]+")
_NEGATION, _FRACTION_SLASH = "\u0338", "\u2044"


def escaped(text: str) -> str:
    """Return `text` with the five delimiters of HL7 escaped (v2.5.1 chapter 2.7)."""
    return text.translate(_ESCAPE_TABLE)


def ascii_from_text(text: str) -> str:
    """Return free text in printable ASCII: accents dropped, control characters dropped, the rest shown as `?`."""
    if text.isascii() and text.isprintable():
        return text
    spelled = _RAISED.sub(lambda raised: f"^{raised[0]}", text)
    return "".join(map(_spelled, spelled))


def _spelled(character: str) -> str:
    """Return one character in ASCII. What would say another number or the opposite without its mark becomes `?`."""
    if character in _ASCII or character.isascii():
        spelled = _ASCII.get(character, character)
        return "".join(c for c in spelled if unicodedata.category(c)[0] != "C")
    decomposed = unicodedata.normalize("NFKD", character)
    if _NEGATION in decomposed:
        return "?"
    if unicodedata.decomposition(character).startswith("<fraction>"):
        return f" {decomposed}".replace(_FRACTION_SLASH, "/")
    kept = (c for c in decomposed if not unicodedata.combining(c) and unicodedata.category(c)[0] != "C")
    return "".join(_ASCII.get(c, c if c.isascii() else "?") for c in kept)


def lines_from_text(text: str) -> list[str]:
    """Return the lines of a free text, each in ASCII and escaped.

    A line break is never sent as an escape: four parsers read that one in four ways.
    """
    lines = (escaped(ascii_from_text(line)).strip() for line in text.splitlines())
    return [line for line in lines if line]


def text_field(text: str) -> str:
    """Return free text for one field: one line, ASCII, escaped."""
    return " ".join(lines_from_text(text))


def identifier_field(text: str, field: str) -> str:
    """Return an identifier, escaped and otherwise unchanged.

    Raises EdgeError MDSE-WRITER-002 where it holds a character that a message may not carry, or is too long to be sent
    whole: an identifier that was altered may belong to another patient.
    """
    field_text = escaped(text)
    if not text.strip() or not text.isprintable() or len(field_text) > IDENTIFIER_LIMIT:
        raise EdgeError("MDSE-WRITER-002", where="hl7", field=field, limit_characters=IDENTIFIER_LIMIT)
    return field_text


def site_time(moment: datetime, zone_of: datetime) -> datetime:
    """Return the moment in the zone of `zone_of`. Raises MDSE-WRITER-001 where the calendar cannot hold it."""
    try:
        return moment.astimezone(zone_of.tzinfo)
    except OverflowError as error:
        raise record_fault(f"the time {moment.isoformat()} cannot be told in the zone of the site") from error


def time_field(moment: datetime, zone_of: datetime, *, with_offset: bool = True) -> str:
    """Return local wall time with offset, in the zone of `zone_of`: one zone in the whole message."""
    local = site_time(moment, zone_of)
    if not with_offset:
        return f"{local.year:04d}{local:%m%d%H%M%S}"
    offset = local.utcoffset() or timedelta()
    minutes, rest = divmod(round(offset.total_seconds()), 60)
    if rest:
        raise record_fault("an offset from UTC has seconds, which no message can carry")
    sign = "-" if minutes < 0 else "+"
    return f"{local.year:04d}{local:%m%d%H%M%S}{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
