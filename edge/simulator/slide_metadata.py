"""The metadata file of a simulated slide: the same facts as JSON, XML or CSV (docs: the slide folder contract)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from xml.etree import ElementTree

from edge.errors import EdgeError

MetadataFormat = Literal["json", "xml", "csv", "none"]
METADATA_FORMATS: tuple[MetadataFormat, ...] = get_args(MetadataFormat)

ANALYZER_MODEL = "SIMULATED DI-60"


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What the simulated analyzer knows of a slide besides its pictures. `acquired_at` is ISO 8601 with offset."""

    sample_id: str
    patient_id: str | None = None
    order_id: str | None = None
    slide_no: int = 1
    slide_count: int = 1
    acquired_at: str | None = None
    serial: str = "SIM-0001"
    targets: tuple[str, ...] = ("mds_aa",)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of the metadata's file list."""

    name: str
    size_bytes: int
    sha256: str


def metadata_file(
    facts: SlideFacts, files: Sequence[ListedFile], expected_wbc: int, wanted: MetadataFormat
) -> tuple[str, bytes] | None:
    """Return the name and bytes of the metadata file, or None for the format "none".

    Raises EdgeError MDSE-SIM-008 for an unknown format.
    """
    if wanted == "none":
        return None
    document = _document(facts, files, expected_wbc)
    if wanted == "json":
        return "slide.json", (json.dumps(document, indent=1) + "\n").encode("ascii")
    if wanted == "xml":
        return "slide.xml", _xml(document)
    if wanted == "csv":
        return "slide.csv", _csv(document)
    raise EdgeError("MDSE-SIM-008", where=str(wanted), known=" ".join(METADATA_FORMATS))


def _document(facts: SlideFacts, files: Sequence[ListedFile], expected_wbc: int) -> dict[str, object]:
    document: dict[str, object] = {
        "sample_id": facts.sample_id,
        "order_id": facts.order_id,
        "slide_no": facts.slide_no,
        "slide_count": facts.slide_count,
        "patient_id": facts.patient_id,
        "acquired_at": facts.acquired_at,
        "analyzer": {"model": ANALYZER_MODEL, "serial": facts.serial, "software": "edge-analyzer-simulator"},
        "pixel_size_um": 0.1,
        "stain": "SIMULATED May-Gruenwald-Giemsa",
        "targets": list(facts.targets),
        "expected": {"wbc": expected_wbc},
        "files": [{"name": f.name, "kind": "wbc", "bytes": f.size_bytes, "sha256": f.sha256} for f in files],
    }
    return {name: value for name, value in document.items() if value is not None}


def _xml(document: dict[str, object]) -> bytes:
    root = ElementTree.Element("slide")
    for name, value in document.items():
        if name == "files" and isinstance(value, list):
            holder = ElementTree.SubElement(root, "files")
            for entry in value:
                ElementTree.SubElement(holder, "file", {key: str(item) for key, item in entry.items()})
        elif name == "targets" and isinstance(value, list):
            holder = ElementTree.SubElement(root, "targets")
            for target in value:
                ElementTree.SubElement(holder, "target").text = target
        elif isinstance(value, dict):
            group = ElementTree.SubElement(root, name)
            for key, item in value.items():
                ElementTree.SubElement(group, key).text = str(item)
        else:
            ElementTree.SubElement(root, name).text = str(value)
    ElementTree.indent(root, " ")
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _csv(document: dict[str, object]) -> bytes:
    """Two columns, field and value; a nested fact has a dotted name, a target its own row, files are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["field", "value"])
    for name, value in document.items():
        if isinstance(value, dict):
            writer.writerows([f"{name}.{key}", item] for key, item in value.items())
        elif name == "targets" and isinstance(value, list):
            writer.writerows([name, target] for target in value)
        elif name != "files":
            writer.writerow([name, value])
    return text.getvalue().encode("utf-8")
