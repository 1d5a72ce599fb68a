"""Labelled single cells: which files they are, what a person said about each, and which split they belong to.

`labels.csv`: `file,cell_type,[finding code: 1/0/blank = not annotated]...,[patient],[preclass]`. Columns that are
neither are ignored and named in the notices, so that a misspelt finding code is seen. Rows without a cell type are left
out with a notice: nobody said what they show. Every other fault stops the training, all of a folder named together.

The split is fixed for everything that is fitted on cells: byte 0 of sha256(key) modulo 8 gives 0-1 test, 2 validation,
3-7 training. The key is the patient where the labels name one (cells of one patient never meet in two splits), else the
base name of the file.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from convert.label_faults import Faults
from edge.catalogue import Catalogue, Finding
from edge.errors import EdgeError

Split = Literal["training", "validation", "test"]
Origin = Literal["real", "drawn"]
LABELS_NAME = "labels.csv"
# The simulator names its cells so: in a folder of real cells they would be believed to be some.
DRAWN_PREFIX = "drawn-"

_KNOWN_COLUMNS = ("file", "cell_type", "patient", "preclass")

# Attributes of WBCAtt (Tsutsui et al., NeurIPS 2023) that say the same as a finding of the catalogue. Only vacuoles do:
# its other attributes describe normal variation (size, shape, colour), not the abnormality that the paper lists.
ATTRIBUTE_FINDINGS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "cytoplasm_vacuole": ("NE07", {"yes": 1, "no": 0}),
}


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """One image file with its labels. `findings` maps finding codes to 1 or 0 and holds only what was annotated.

    `labels` is the label file that names it; `preclass` what the analyzer called it, None where the file does not say.
    """

    path: Path
    cell_id: str
    cell_type: str
    findings: Mapping[str, int]
    patient: str | None
    split: Split
    origin: Origin
    labels: Path | None = None
    preclass: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledCells:
    """All usable cells of the folders, in a fixed order, and what a person must know about the rest."""

    cells: tuple[LabelledCell, ...]
    notices: tuple[str, ...]

    def of(self, split: Split, origin: Origin | None = None) -> tuple[LabelledCell, ...]:
        """Return the cells of one split, of one origin if it is named."""
        return tuple(c for c in self.cells if c.split == split and (origin is None or c.origin == origin))

    def counts(self, split: Split, origin: Origin | None = None) -> Counter[str]:
        """Return the number of cells per type code."""
        return Counter(cell.cell_type for cell in self.of(split, origin))


def split_from_key(key: str) -> Split:
    """Return the split of a file's base name or of a patient (see the head of this file)."""
    remainder = hashlib.sha256(key.encode("utf-8")).digest()[0] % 8
    if remainder < 2:
        return "test"
    return "validation" if remainder == 2 else "training"


def read_labelled_cells(
    folders: Sequence[tuple[Path, Origin]],
    catalogue: Catalogue,
    *,
    labels_name: str = LABELS_NAME,
    leave_out: Collection[str] = (),
) -> LabelledCells:
    """Read the label files of several folders; `leave_out` names types that are meant to be left out.

    Files named drawn-... are drawn cells whatever their folder is.

    Raises EdgeError MDSE-TRAIN-001 (no or malformed label file), -002 (a value that is no label), -003 (a file under
    two labels or twice, or the same bytes under two labels or in two splits), -004 (a file that is not there); several
    faults together as -017.
    """
    cells: list[LabelledCell] = []
    notices: list[str] = []
    faults = Faults()
    for folder, origin in folders:
        found, said = _read_folder(folder, origin, catalogue, _Reading(labels_name, frozenset(leave_out), faults))
        cells.extend(found)
        notices.extend(said)
    _refuse_copies(cells, faults)
    faults.require_none(", ".join(str(folder) for folder, _ in folders))
    return LabelledCells(tuple(sorted(cells, key=lambda cell: (str(cell.path),))), tuple(notices))


def require_trainable(labelled: LabelledCells, catalogue: Catalogue, *, allow_missing_types: bool) -> tuple[str, ...]:
    """Check that every type can be trained and judged; return the types that no training cell shows.

    Raises EdgeError MDSE-TRAIN-005 for a type without training cells unless `allow_missing_types`, and -006 for a type
    with training cells but none for validation; both together as -017.
    """
    training, validation = labelled.counts("training"), labelled.counts("validation")
    faults = Faults()
    missing = tuple(code for code in catalogue.type_codes if not training[code])
    if missing and (not allow_missing_types or len(missing) == len(catalogue.type_codes)):
        faults.add(EdgeError("MDSE-TRAIN-005", types=", ".join(missing)))
    unjudged = [code for code in catalogue.type_codes if training[code] and not validation[code]]
    if unjudged:
        faults.add(EdgeError("MDSE-TRAIN-006", types=", ".join(unjudged)))
    faults.require_none("")
    return missing


@dataclass(frozen=True, slots=True)
class _Reading:
    labels_name: str
    leave_out: frozenset[str]
    faults: Faults


def _read_folder(
    folder: Path, origin: Origin, catalogue: Catalogue, reading: _Reading
) -> tuple[list[LabelledCell], list[str]]:
    labels = folder / reading.labels_name
    findings = {finding.code: finding for finding in catalogue.findings}
    left_out: Counter[str] = Counter()
    by_file: dict[str, LabelledCell] = {}
    notices: list[str] = []
    for line, row in _rows(labels, findings, notices):
        where = f"{labels} line {line}"
        name, code = ((row.get(column) or "").strip() for column in ("file", "cell_type"))
        if code not in catalogue.type_codes and (not code or code in reading.leave_out):
            left_out["no cell type" if not code else f"type {code}, as asked for"] += 1
            continue
        try:
            _require_label(name, code, catalogue, where)
            cell = _cell_from_row(folder, labels, name, code, row, findings, origin, where)
            if name in by_file:
                raise EdgeError("MDSE-TRAIN-003", where=where, file=name, first=by_file[name].cell_type, second=code)
            by_file[name] = cell
        except EdgeError as fault:
            reading.faults.add(fault)
    disguised = sum(cell.origin != origin for cell in by_file.values())
    if disguised:
        notices.append(
            f"{labels}: {disguised} files are named {DRAWN_PREFIX}...: they count as drawn cells, not as real ones"
        )
    notices.extend(f"{labels}: {count} rows left out: {reason}" for reason, count in sorted(left_out.items()))
    return list(by_file.values()), notices


def _require_label(name: str, code: str, catalogue: Catalogue, where: str) -> None:
    if not name:
        raise EdgeError("MDSE-TRAIN-002", where=where, value="", column="file")
    if code not in catalogue.type_codes:
        raise EdgeError("MDSE-TRAIN-002", where=where, value=code, column="cell_type")


def _refuse_copies(cells: Sequence[LabelledCell], faults: Faults) -> None:
    """Add a fault for the same bytes under two types, or on two sides of a split, where they would be a leak.

    Only files of equal size are read.
    """
    by_size: dict[int, list[LabelledCell]] = {}
    for cell in cells:
        # Within the same second a file may go away; the decoder names it.
        with suppress(OSError):
            by_size.setdefault(cell.path.stat().st_size, []).append(cell)
    first: dict[bytes, LabelledCell] = {}
    for cell in (cell for group in by_size.values() if len(group) > 1 for cell in group):
        earlier = first.setdefault(_digest_of(cell.path), cell)
        if (earlier.cell_type, earlier.split) != (cell.cell_type, cell.split):
            labels = (f"{earlier.cell_type} ({earlier.split})", f"{cell.cell_type} ({cell.split})")
            where = str(earlier.path)
            faults.add(EdgeError("MDSE-TRAIN-003", where=where, file=str(cell.path), first=labels[0], second=labels[1]))


def _digest_of(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        # Reading it properly is the decoder's task, which names the file; here it is no copy of anything.
        return hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).digest()


def _rows(
    labels: Path, findings: Mapping[str, Finding], notices: list[str]
) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with labels.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or [])
            if "file" not in columns or "cell_type" not in columns or len(set(columns)) != len(columns):
                raise EdgeError("MDSE-TRAIN-001", where=str(labels), reason=f"its columns are {columns}")
            unknown = [c for c in columns if c not in _KNOWN_COLUMNS and c not in findings]
            read = [c for c in unknown if c in ATTRIBUTE_FINDINGS]
            ignored = [c for c in unknown if c not in ATTRIBUTE_FINDINGS]
            if ignored:
                notices.append(f"{labels}: columns ignored: {', '.join(ignored)}")
            notices.extend(f"{labels}: column {c} is read as finding {ATTRIBUTE_FINDINGS[c][0]}" for c in read)
            for row in reader:
                if None in row or any(value is None for value in row.values()):
                    raise EdgeError("MDSE-TRAIN-001", where=f"{labels} line {reader.line_num}", reason="wrong columns")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgeError("MDSE-TRAIN-001", where=str(labels), reason=str(error)) from error


def _cell_from_row(
    folder: Path,
    labels: Path,
    name: str,
    code: str,
    row: Mapping[str, str | None],
    findings: Mapping[str, Finding],
    origin: Origin,
    where: str,
) -> LabelledCell:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise EdgeError("MDSE-TRAIN-002", where=where, value=name, column="file")
    path = folder / relative
    if not path.is_file():
        raise EdgeError("MDSE-TRAIN-004", where=where, file=str(path))
    patient = (row.get("patient") or "").strip() or None
    return LabelledCell(
        path=path,
        cell_id=name,
        cell_type=code,
        findings=_findings_from_row(row, code, findings, where),
        patient=patient,
        split=split_from_key(patient or relative.name),
        origin="drawn" if relative.name.startswith(DRAWN_PREFIX) else origin,
        labels=labels,
        preclass=(row.get("preclass") or "").strip() or None,
    )


def _findings_from_row(
    row: Mapping[str, str | None], code: str, findings: Mapping[str, Finding], where: str
) -> dict[str, int]:
    """Return the annotated findings. A finding that does not apply to the type is not annotated, whatever is written.

    The loss and the rates both ask about applicable findings only; a 0 there would teach the network the type twice.
    """
    annotated: dict[str, int] = {}
    for column, value in row.items():
        value = (value or "").strip()
        if column in findings and code in findings[column].applies_to and value:
            if value not in ("0", "1"):
                raise EdgeError("MDSE-TRAIN-002", where=where, value=value, column=column)
            annotated[column] = int(value)
    for column, (finding_code, meaning) in ATTRIBUTE_FINDINGS.items():
        applies = finding_code in findings and code in findings[finding_code].applies_to
        said = meaning.get((row.get(column) or "").strip())
        if applies and said is not None:
            annotated.setdefault(finding_code, said)
    return annotated
