"""The folder of a report: report.html, validation.json and the pictures, which appear together or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from convert.evaluation.html_report import report_from_validation
from convert.folder_exchange import put_in_place, words_of_left
from edge.errors import EdgeError

if TYPE_CHECKING:
    from convert.evaluation.validation import Validation

REPORT_NAME, JSON_NAME, PICTURES_NAME = "report.html", "validation.json", "figures"


def write_validation(validation: Validation, out: Path, *, may_replace: bool) -> tuple[str, ...]:
    """Write the folder beside its old self and put it into place, so that no half report is ever seen.

    Everything is text before the folder is made, and what fails leaves nothing behind. Returns notices. Raises
    EdgeError MDSE-VALIDATE-001 where `out` is there already and may not be replaced, or is no report's folder, -014
    where the disk refuses.
    """
    require_place(out, may_replace=may_replace)
    contents = _contents(validation)
    out = out.resolve()
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        (part / PICTURES_NAME).mkdir(parents=True)
        for name, data in contents.items():
            (part / name).write_bytes(data)
        left = put_in_place(part, out)
    except OSError as error:
        raise EdgeError("MDSE-VALIDATE-014", where=str(out), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)  # gone already when all went well
    return words_of_left(left)


def require_place(out: Path, *, may_replace: bool) -> None:
    """Raise EdgeError MDSE-VALIDATE-001, -014 unless a report can be written to `out`: asked before the work."""
    try:
        occupied = out.exists()
    except OSError as error:
        raise EdgeError("MDSE-VALIDATE-014", where=str(out), reason=error.strerror or str(error)) from error
    _require_folder(out)
    if not occupied:
        return
    is_report = (out / JSON_NAME).is_file() and (out / REPORT_NAME).is_file()
    if not (may_replace and is_report):
        raise EdgeError("MDSE-VALIDATE-001", where=str(out))


def _require_folder(out: Path) -> None:
    """Look at the nearest folder that is there: the others above the report are made when it is written."""
    nearest = next((folder for folder in out.absolute().parents if folder.exists()), out.absolute())
    if not nearest.is_dir():
        raise EdgeError("MDSE-VALIDATE-014", where=str(out), reason=f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise EdgeError("MDSE-VALIDATE-014", where=str(out), reason=f"this user may not write to {nearest}")


def _contents(validation: Validation) -> dict[str, bytes]:
    text = json.dumps(validation.document, indent=1, allow_nan=False) + "\n"
    page = report_from_validation(validation.document, validation.pictures, validation.catalogue)
    pictures = {f"{PICTURES_NAME}/{name}.svg": picture for name, picture in validation.pictures.items()}
    return {JSON_NAME: text.encode("utf-8"), REPORT_NAME: page, **pictures}
