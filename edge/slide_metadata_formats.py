"""slide.json, slide.xml and slide.csv as one plain mapping, by bounded parsers that fetch nothing and expand nothing.

All three give the same shape (fields of docs/slide-folder.md; `analyzer`, `expected` are mappings, `targets`, `files`
lists). JSON keeps its types; XML and CSV give texts. A field that stands twice is refused: it might be the sample id.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from edge.strict_json import object_from_json

METADATA_BYTES_MAX = 1024 * 1024
XML_DEPTH_MAX = 6
XML_ELEMENTS_MAX = 50_000
_LIST_ITEMS = {"targets": "target", "files": "file"}
_CSV_DELIMITERS = ",;\t"


def mapping_from_metadata(name: str, data: bytes) -> Mapping[str, object]:
    """Return the fields of a metadata file; its ending (`.json`, `.xml`, `.csv`, in any case) chooses the parser.

    Raises ValueError saying what is wrong: size, encoding, syntax, a doubled field, an entity, too much depth.
    """
    if len(data) > METADATA_BYTES_MAX:
        raise ValueError(f"it holds more than {METADATA_BYTES_MAX} bytes")
    parsers: dict[str, Callable[[bytes], Mapping[str, object]]] = {
        ".json": _mapping_from_json,
        ".xml": _mapping_from_xml,
        ".csv": _mapping_from_csv,
    }
    return parsers[name[name.rindex(".") :].lower()](data)


def _text_from_utf8(data: bytes) -> str:
    """Decode UTF-8, with or without a byte-order mark. Nothing else is guessed: a guess can change an id."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error


# ---- JSON


def _mapping_from_json(data: bytes) -> Mapping[str, object]:
    return object_from_json(_text_from_utf8(data))


# ---- XML


@dataclass(slots=True)
class _Element:
    name: str
    fields: dict[str, object] = field(default_factory=dict)
    items: list[object] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


class _XmlReader:
    """Collects elements while expat reads. Attributes and child elements are fields alike."""

    def __init__(self) -> None:
        self._stack: list[_Element] = []
        self._count = 0
        self.document: Mapping[str, object] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > XML_ELEMENTS_MAX or len(self._stack) >= XML_DEPTH_MAX:
            raise ValueError("it is nested too deeply or holds too many elements")
        if not self._stack and name != "slide":
            raise ValueError(f"its outermost element is {name!r}, not 'slide'")
        self._stack.append(_Element(name, dict(attributes)))

    def text(self, text: str) -> None:
        self._stack[-1].text.append(text)

    def end(self, _name: str) -> None:
        element = self._stack.pop()
        text = "".join(element.text).strip(" \t\r\n")  # line breaks around a value are layout in XML
        if text and (element.fields or element.items):
            raise ValueError(f"the element {element.name!r} mixes text and fields")
        value: object = element.items or (element.fields or text)
        if not self._stack:
            self.document = element.fields
            return
        parent = self._stack[-1]
        if parent.name in _LIST_ITEMS:
            if element.name != _LIST_ITEMS[parent.name]:
                raise ValueError(f"{parent.name!r} holds {element.name!r}")
            parent.items.append(value)
        elif element.name in parent.fields:
            raise ValueError(f"the field {element.name!r} stands twice")
        else:
            parent.fields[element.name] = value


def _refuse_declaration(*_facts: object) -> None:
    raise ValueError("it declares a document type or an entity")


def _mapping_from_xml(data: bytes) -> Mapping[str, object]:
    """Parse with expat; a DTD is refused as soon as it begins, so no entity is ever declared, fetched or expanded."""
    reader = _XmlReader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_declaration
    parser.EntityDeclHandler = _refuse_declaration
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not well-formed XML ({error})") from error
    except LookupError as error:  # an encoding that Python does not know
        raise ValueError(f"its encoding is not known ({error})") from error
    if reader.document is None:
        raise ValueError("it holds no element")
    return reader.document


# ---- CSV


def _mapping_from_csv(data: bytes) -> Mapping[str, object]:
    """Read rows of two columns, field and value; dotted names nest, `targets` may stand on several rows."""
    lines = _text_from_utf8(data).splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in first if mark in _CSV_DELIMITERS), ",")
    fields: dict[str, object] = {}
    try:
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), 1):
            if any(cell.strip() for cell in row):
                _add_csv_row(fields, row, number)
    except csv.Error as error:
        raise ValueError(f"it is not valid CSV ({error})") from error
    return fields


def _add_csv_row(fields: dict[str, object], row: list[str], number: int) -> None:
    name = row[0].strip()
    if len(row) < 2 or any(cell.strip() for cell in row[2:]):
        raise ValueError(f"row {number} does not hold a field and a value")
    if (name, row[1].strip()) == ("field", "value"):
        return
    if name == "targets":
        targets = fields.setdefault(name, [])
        if not isinstance(targets, list):
            raise ValueError(f"row {number}: the field {name!r} stands twice")
        targets.append(row[1])
        return
    *outer, leaf = name.split(".")
    level = fields
    for part in outer:
        inner = level.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"row {number}: {name!r} contradicts another row")
        level = inner
    if leaf in level:
        raise ValueError(f"row {number}: the field {name!r} stands twice")
    level[leaf] = row[1]
