"""Benches and tests import our own names from where these are: a bench that runs once a month says so today."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OWN = ("edge", "convert", "benchmarks", "tests")


def module_file(name: str) -> Path | None:
    path = REPOSITORY.joinpath(*name.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return found[0] if found else None


def is_module(name: str) -> bool:
    return module_file(name) is not None or REPOSITORY.joinpath(*name.split(".")).is_dir()


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs when the module is imported; none inside of a function or class."""
    for statement in body:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                yield from statements(getattr(statement, block, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements(handler.body)


@cache
def names_of(file: Path) -> frozenset[str]:
    names: set[str] = set()
    for statement in statements(ast.parse(file.read_text(encoding="utf-8")).body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(statement.name)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        else:
            names |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return frozenset(names)


def missing_imports(source: str) -> list[str]:
    missing = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or node.level or (node.module or "").split(".")[0] not in OWN:
            continue
        file = module_file(str(node.module))
        for alias in node.names:
            if is_module(f"{node.module}.{alias.name}"):
                continue
            if file is None or (alias.name != "*" and alias.name not in names_of(file)):
                missing.append(f"{node.module}.{alias.name}")
    return missing


@pytest.mark.parametrize("folder", ["benchmarks", "tests"])
def test_every_name_of_our_own_that_is_imported_is_there(folder):
    files = sorted((REPOSITORY / folder).rglob("*.py"))
    assert len(files) > 50
    found = {str(f.relative_to(REPOSITORY)): missing_imports(f.read_text(encoding="utf-8")) for f in files}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_name_that_was_moved_away_is_seen():
    assert missing_imports("from convert.quantization import quantize, Judge\nfrom convert import parity") == []
    assert missing_imports("def late():\n    from convert.quantization import layer_losses") == [
        "convert.quantization.layer_losses"
    ]
    assert missing_imports("from convert.no_such_module import x") == ["convert.no_such_module.x"]
