"""`edge-report`: one page over the archived results of a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from edge.writers.html_index import IndexedResult

DESCRIPTION = """\
Writes one HTML page that lists the newest revision of every slide in an archive of results, with links to the reports
and the records, and shows how the score and the main shares of each sample id run through time. The page asks nothing
of the network; it holds sample ids, so keep it where the archive may be kept.

The archive itself is open to the service alone. For people, add an output of its own (format = "json", report = true,
ack = "none": docs/report.md) and name its folder.

exit status: 0 the page is written; 2 wrong options, no such folder, no record in it, or the page cannot be written
"""
EXAMPLES = """\
example:
  edge-report /srv/mds-edge/drop/review --output results.html
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; print where it is and what it lists."""
    parser = argparse.ArgumentParser(
        "edge-report", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="archive of results: records (.json) and reports (.html)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: DIR/index.html)")
    parser.add_argument("--language", choices=("en", "ja"), default="en", help="language of the page (default en)")
    parser.add_argument("--json", action="store_true", help="print what was listed as JSON")
    arguments = parser.parse_args(argv)
    return run_command(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from edge.film_times import at_film_time
    from edge.unread_revisions import with_message_ids
    from edge.writers.html_index import newest_revisions, render_index

    folder: Path = arguments.folder
    page: Path = (arguments.output or folder / "index.html").absolute()
    archived, unreadable = _archived(folder, page.parent)
    results = at_film_time(archived)
    rows = newest_revisions(results)
    try:
        page.write_bytes(render_index(results, with_message_ids(unreadable, archived), arguments.language))
    except OSError as error:
        raise _refused(folder, f"{page} cannot be written ({error.strerror})") from error
    facts = {"page": str(page), "slides": len(rows), "revisions": len(results), "unreadable": dict(unreadable)}
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return EXIT_DONE
    print(f"{page}: {len(rows)} slides, {len(results)} revisions")
    for name, reason in unreadable:
        print(f"not listed: {name}: {reason}")
    return EXIT_DONE


def _archived(folder: Path, start: Path) -> tuple[list[IndexedResult], list[tuple[str, str]]]:
    from edge.writers.html_index import IndexedResult
    from edge.writers.record_view import view_of_record

    if not folder.is_dir():
        raise _refused(folder, "there is no such folder")
    results: list[IndexedResult] = []
    unreadable: list[tuple[str, str]] = []
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            record = json.loads(path.read_bytes())
            if not isinstance(record, dict) or not str(record.get("schema", "")).startswith("mds-edge.record/"):
                continue
            view = view_of_record(record)
        except (OSError, ValueError, RecursionError, OverflowError) as error:
            unreadable.append((name, str(error)))
            continue
        except EdgeError as error:
            unreadable.append((name, error.text))
            continue
        report = path.with_suffix(".html")
        link = _link(report, start) if report.is_file() else None
        results.append(IndexedResult(view, _link(path, start), link))
    if not results and not unreadable:
        raise _refused(folder, "it holds no record")
    return results, unreadable


def _link(path: Path, start: Path) -> str:
    """Return the relative address of a file, so that page and archive can be moved together."""
    import os
    from urllib.parse import quote

    # ./ keeps a name with a colon in it from being read as an address of another kind.
    return "./" + quote(Path(os.path.relpath(path.absolute(), start)).as_posix())


def _refused(folder: Path, reason: str) -> EdgeError:
    return EdgeError("MDSE-WRITER-006", where=str(folder), reason=reason)


if __name__ == "__main__":
    raise SystemExit(main())
