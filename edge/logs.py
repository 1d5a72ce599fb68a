"""Log lines for journald: one line an event, a level prefix, a code, key=value facts, nothing that names a patient.

    <4>MDSE-SLIDE-001 slide=~8f2c61ab4d source=di60 text="held: ..."

`<4>` is the priority prefix that systemd takes off (sd-daemon(3)). Above DEBUG every fact that may hold an id of a
sample, a patient, an order or a slide is replaced by a keyed hash: the same id gives the same `~hash` for as long as
the process runs, and nothing outside the process can turn it back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
import traceback
from typing import TextIO

from edge.errors import EdgeError, error_catalogue, printable

LINE_CHARACTERS_MAX = 2_000

# Facts that are ids, paths and file names that are made from ids, or words that came from elsewhere and may hold one.
CONFIDENTIAL_KEYS = frozenset(
    "sample_id patient_id order_id slide slide_key slide_id cell_id sample patient order folder path file name where "
    "final_name staged_name found expected_id ids words".split()
)
# Parts of the house whose messages never speak of a patient's slide: their facts may be read in full.
_OPEN_PARTS = frozenset("CATALOGUE BUNDLE ENGINE TREES CONFIG BENCH CONVERT TRAIN PARITY".split())
_OPEN_FACT = re.compile(
    r"(count|limit|size|mode|owner|errno|attempts?|line|format|device|.*_(px|bytes|s|ms|count|max|min))"
)
_CODE = re.compile(r"\bMDSE-([A-Z]+)-[0-9]{3}\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.,:/+~@-]{1,200}")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class JournalFormatter(logging.Formatter):
    """Turns a log record into one line. The record's `code` and `facts` come from `log_event`."""

    def __init__(self, *, confidential: bool, prefix: bool, key: bytes) -> None:
        super().__init__()
        self._confidential = confidential
        self._prefix = prefix
        self._key = key

    def pseudonym(self, value: object) -> str:
        """Return the keyed hash that stands for a confidential value in this process's lines."""
        return "~" + hmac.new(self._key, str(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:10]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        code = getattr(record, "code", "")
        facts: dict[str, object] = dict(getattr(record, "facts", {}))
        error = getattr(record, "edge_error", None)
        if isinstance(error, EdgeError):
            code = error.code
            facts |= {"where": error.where} if error.where else {}
        words = [printable(code)] if code else [printable(record.name)]
        words += [f"{printable(name)}={self._shown(name, value)}" for name, value in facts.items()]
        words.append(f"text={_value(self._text_of(record, error))}")
        if record.exc_info and record.exc_info[1] is not None and not isinstance(error, EdgeError):
            words.append(f"trace={_value(self._trace_of(record.exc_info[1]))}")
        line = " ".join(words)
        if len(line) > LINE_CHARACTERS_MAX:
            line = line[: LINE_CHARACTERS_MAX - 3] + "..."
        return f"<{_priority(record.levelno)}>{line}" if self._prefix else f"{record.levelname} {line}"

    def _shown(self, name: str, value: object) -> str:
        if self._confidential and name in CONFIDENTIAL_KEYS:
            return self.pseudonym(value)
        return _value(str(value))

    def _text_of(self, record: logging.LogRecord, error: object) -> str:
        if not isinstance(error, EdgeError):
            message = record.getMessage()
            # A library's own words may quote the path of a slide; ours carry what varies as facts.
            foreign = self._confidential and not hasattr(record, "code")
            return _QUOTED.sub(lambda quoted: self.pseudonym(quoted[0][1:-1]), message) if foreign else message
        if not self._confidential or error.code.split("-")[1] in _OPEN_PARTS:
            return f"{error.text} {error.remedy}"
        entry = error_catalogue()[error.code]
        facts = {name: self._guarded(name, value) for name, value in error.facts.items()}
        return f"{entry.what.format_map(facts)} {entry.remedy.format_map(facts)}"

    def _guarded(self, name: str, value: str) -> str:
        """Return a fact of an error as it may be read by everyone; of a reason, everything but what it quotes.

        A reason that repeats another error names that one's place, a slide or a file, without quotes: its code stays.
        """
        if name == "reason":
            repeated = list(_CODE.finditer(value))
            if any(code[1] not in _OPEN_PARTS for code in repeated):
                return " ".join((*(code[0] for code in repeated), self.pseudonym(value)))
            return _QUOTED.sub(lambda quoted: self.pseudonym(quoted[0][1:-1]), value)
        return value if _OPEN_FACT.fullmatch(name) else self.pseudonym(value)

    def _trace_of(self, error: BaseException) -> str:
        """Return where an unforeseen error came from. Its message may quote anything: readable at level DEBUG only."""
        frames = traceback.extract_tb(error.__traceback__)
        places = " < ".join(
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in frames[::-1]
        )
        message = self.pseudonym(error) if self._confidential else str(error)
        return f"{type(error).__name__} {message} at {places}"


def configure_logging(level: int = logging.INFO, *, stream: TextIO | None = None, key: bytes | None = None) -> None:
    """Send every log line of this process to one stream, standard error by default.

    Ids are readable when `level` is DEBUG, pseudonyms otherwise. The priority prefix is written unless the stream is a
    terminal. `key` makes pseudonyms comparable between processes; a random one is made when it is None.
    """
    target = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        JournalFormatter(
            confidential=level > logging.DEBUG, prefix=not target.isatty(), key=key or secrets.token_bytes(32)
        )
    )
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)


def log_event(logger: logging.Logger, level: int, code: str, text: str, **facts: object) -> None:
    """Log one event.

    `text` is a fixed sentence: whatever varies goes into `facts`, where the formatter can see by its name whether it
    is confidential. `code` is an error code or a short event name such as `slide-spooled`.
    """
    logger.log(level, "%s", text, extra={"code": code, "facts": facts})


def log_error(logger: logging.Logger, error: EdgeError, *, level: int = logging.ERROR, **facts: object) -> None:
    """Log an `EdgeError` with its own code and words; ids among its facts become pseudonyms above DEBUG."""
    logger.log(level, "%s", error.code, extra={"facts": facts, "edge_error": error})


def _priority(level: int) -> int:
    """Return the syslog priority of the nearest standard level below or at `level`; debug for anything lower."""
    return next((number for floor, number in _PRIORITIES if level >= floor), 7)


def _value(text: str) -> str:
    """Return a value that cannot end its line or forge a neighbour: plain as it is, anything else as a JSON string."""
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(printable(text), ensure_ascii=False)
