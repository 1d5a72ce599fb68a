"""What a receiver understood of one file, whatever its format: the words that every reader uses."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReceivedResult:
    """One result: code and name as sent first, value as text, unit, flag and status letter."""

    number: int
    code: str
    name: str
    value: str
    unit: str
    flag: str
    status: str
    local: str = ""
    """The sender's own code, where the first code is another (LOINC)."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """What was understood of one file. `partial` means: this looks like the beginning of a longer file."""

    message_id: str
    mode: str
    sample_id: str
    slide: str
    status: str
    results: tuple[ReceivedResult, ...]
    notes: tuple[str, ...]
    faults: tuple[str, ...]
    partial: bool
    format: str = "hl7"
    names_message: bool = field(default=True)
    """Whether files of this format carry a message id at all."""

    def value_of(self, ending: str) -> str:
        """Return the value of the first result whose code ends so (`CALL`, `SCORE`); "" when there is none."""
        return next((result.value for result in self.results if result.code.endswith(ending)), "")


def unreadable(format: str, fault: str, *, partial: bool) -> ReceivedMessage:  # noqa: A002 - the word people know
    """Return what stands for a file in which nothing could be understood."""
    faults = (fault, "the file is not whole") if partial else (fault,)
    return ReceivedMessage("", "", "", "", "", (), (), faults, partial, format)
