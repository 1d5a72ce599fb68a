"""Every error the product can report: a stable code, what happened, where, and what to do next.

The texts live in one catalogue, `errors.toml`, so that the documentation, the tests and the code cannot drift apart.

    EdgeError                 everything a person can act on; carries code, where, exit status
      raised with a code that the catalogue lists; unknown codes are a programming error (KeyError at once)
"""

from __future__ import annotations

import sys
import tomllib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_PARITY_REFUSED = 3
EXIT_BUNDLE_DOES_NOT_FIT = 4
EXIT_SLIDE_REJECTED = 5
EXIT_BY_HAND = 6
EXIT_INTERNAL = 70
EXIT_TRY_LATER = 75
EXIT_CONFIGURATION = 78


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One row of the error catalogue: the code, three sentences for people and the exit status of a command."""

    code: str
    what: str
    cause: str
    remedy: str
    exit_status: int


@cache
def error_catalogue() -> dict[str, ErrorEntry]:
    """Return every known error by its code, in the order of `errors.toml`."""
    text = resources.files("edge").joinpath("errors.toml").read_text(encoding="utf-8")
    return {
        code: ErrorEntry(code, row["what"], row["cause"], row["remedy"], row["exit"])
        for code, row in tomllib.loads(text).items()
    }


class EdgeError(Exception):
    """An error with a stable code. `str()` gives code, place, what happened and what to do, in one line.

    `code` is a key of `errors.toml`; `where` names the file, slide or setting; `facts` fill the placeholders of the
    catalogue's sentences. A missing fact raises KeyError at once: a message with a hole in it must not reach a person.
    """

    def __init__(self, code: str, *, where: str = "", **facts: object) -> None:
        entry = error_catalogue()[code]
        self.code = code
        self.where = printable(where)
        self.facts = {name: printable(str(value)) for name, value in facts.items()}
        self.text = entry.what.format_map(self.facts)
        self.remedy = entry.remedy.format_map(self.facts)
        self.exit_status = entry.exit_status
        super().__init__(code, where)

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        return f"{self.code}{place}: {self.text} {self.remedy}"


def printable(text: str) -> str:
    """Return `text` with control characters and lone surrogates escaped, so that no input can forge a log line."""
    if text.isprintable():  # nearly always; a report holds megabytes of it
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def run_command(body: Callable[[], int]) -> int:
    """Run the body of a command and return its exit status.

    An `EdgeError` becomes one line on standard error and its own exit status. Anything unforeseen keeps its
    traceback, because a person must be able to report it, and ends with 70.
    """
    try:
        return body()
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped at your request.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error of ours, and nothing more can be said to it.
        sys.stderr.close()
        return EXIT_DONE
    except Exception as error:  # noqa: BLE001 - told with its traceback, and by a status of its own
        traceback.print_exception(error)
        print("error: not foreseen by this program; please report it with the lines above.", file=sys.stderr)
        return EXIT_INTERNAL
