"""What the documents say is what the software does: commands, options, keys, figures, links."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from edge.config_reference import config_document, sample_configuration
from edge.config_sections import Config
from tests.fault.site import REPOSITORY

PAGES = [path for pattern in ("*.md", "docs/**/*.md", "requirements/*.md") for path in sorted(REPOSITORY.glob(pattern))]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = {name: target.partition(":")[0] for name, target in PROJECT["scripts"].items()}
BLOCK = re.compile(r"(?:<!-- command: (?P<name>[\w-]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `name` is that of the mark above it, "" when there is none."""

    page: str
    name: str
    language: str
    text: str


def blocks() -> list[Block]:
    return [
        Block(page.name, match["name"] or "", match["language"], match["text"])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def calls_in(text: str) -> list[tuple[str, ...]]:
    """Return every call of one of our commands in these shell lines, as the shell would split it."""
    found: dict[tuple[str, ...], None] = {}
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;|\|", line):
            words = shlex.split(part, comments=True)
            while words and ("=" in words[0] or words[0] in ("sudo", "time")):
                words = words[1:]
            if words and Path(words[0]).name in COMMANDS:
                found[Path(words[0]).name, *words[1:]] = None
    return list(found)


def calls_on_pages() -> list[tuple[str, tuple[str, ...]]]:
    return [(b.page, words) for b in blocks() if b.language in ("", "sh") for words in calls_in(b.text)]


@cache
def help_of(command: str, subcommand: str = "") -> tuple[int, str]:
    words = [sys.executable, "-m", COMMANDS[command], *([subcommand] if subcommand else []), "--help"]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout


def test_readmes_two_commands_are_one_line_each_and_marked() -> None:
    marked = {block.name: block for block in blocks() if block.name and block.page == "README.md"}
    assert {"demo", "tests"} <= marked.keys()
    for name, ending in (("demo", "edge-demo"), ("tests", "pytest")):
        (line,) = marked[name].text.splitlines()
        assert line.split("/")[-1].split()[0] == ending
        assert line.startswith("python3 -m venv")
    assert "'.[cpu]'" in marked["demo"].text
    assert "'.[dev]'" in marked["tests"].text


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "sh"], ids=lambda b: f"{b.page} {b.name}")
def test_every_shell_block_is_one_that_a_shell_can_read(block: Block) -> None:
    ended = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def assert_has_what_it_is_given(words: tuple[str, ...]) -> None:
    command, *rest = words
    status, text = help_of(command)
    assert status == 0, command
    if rest and rest[0].isidentifier():
        sub_status, sub_text = help_of(command, rest[0])
        assert rest[0] in text, f"{command} has no {rest[0]}"
        text += sub_text if sub_status == 0 else ""
    # The examples of a help page are not what a command has.
    known = "\n".join(line for line in text.splitlines() if not re.match(rf"\s+{command} ", line))
    for option in (word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"{command} has no {option}"


@pytest.mark.parametrize(("page", "words"), calls_on_pages(), ids=lambda value: str(value)[:60])
def test_every_command_on_a_page_has_the_options_that_it_is_given(page: str, words: tuple[str, ...]) -> None:
    assert_has_what_it_is_given(words)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_every_command_have_the_options_that_they_are_given(command: str) -> None:
    status, text = help_of(command)
    assert status == 0
    examples = [line.strip().split("   ")[0] for line in text.splitlines() if re.match(rf"\s+{command} ", line)]
    for example in examples:
        assert_has_what_it_is_given(tuple(shlex.split(example)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named_in_a_document(command: str) -> None:
    assert any(re.search(rf"\b{command}\b", page.read_text(encoding="utf-8")) for page in PAGES)


def test_every_key_of_the_configuration_is_explained() -> None:
    text = (REPOSITORY / "docs" / "config.md").read_text(encoding="utf-8")
    for name, field in Config.model_fields.items():
        section = field.annotation if isinstance(field.annotation, type) else field.annotation.__args__[0]
        _, found, rest = text.partition(f"[{field.alias or name}]")
        assert found, name
        part = rest.partition("\n## ")[0]
        for key in section.model_fields:
            assert f"\n| `{key}` |" in part, f"{name}.{key}"


def test_the_generated_pages_are_those_of_the_code() -> None:
    assert (REPOSITORY / "docs" / "config.md").read_text(encoding="utf-8") == config_document()
    assert (REPOSITORY / "systemd" / "mds-edge.toml").read_text(encoding="utf-8") == sample_configuration()


def test_the_figures_of_the_readme_are_those_of_the_committed_measurements() -> None:
    named = re.findall(r"<!-- figures: (\w+) -->", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    missing = [name for name in named if not (REPOSITORY / "benchmarks" / f"{name}.json").is_file()]
    if missing:
        pytest.skip(f"not measured yet: {', '.join(missing)}")
    check = [sys.executable, "benchmarks/readme_figures.py", "--check"]
    assert subprocess.run(check, cwd=REPOSITORY, timeout=60, check=False).returncode == 0


def test_the_figures_of_the_science_page_are_those_of_the_committed_validation() -> None:
    if not (REPOSITORY / "benchmarks" / "validation.json").is_file():
        pytest.skip("not measured yet: validation")
    check = [sys.executable, "benchmarks/science_figures.py", "--check"]
    assert subprocess.run(check, cwd=REPOSITORY, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    targets = {match[1] for match in LINK.finditer(page.read_text(encoding="utf-8"))}
    assert [target for target in sorted(targets) if not (page.parent / target).exists()] == []


def shapes_of(text: ast.expr, module: ast.Module) -> set[str]:
    """Return the texts that an expression can be, `*` for what is put in; those of a name from what it is given."""
    if isinstance(text, ast.Constant):
        return {str(text.value)}
    if isinstance(text, ast.JoinedStr):
        return {"".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in text.values)}
    name = text.attr if isinstance(text, ast.Attribute) else text.id if isinstance(text, ast.Name) else ""
    given: list[ast.expr] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Assign):
            (target,), value = node.targets, node.value
            pairs = zip(target.elts, value.elts, strict=True) if isinstance(value, ast.Tuple) and isinstance(
                target, ast.Tuple) else [(target, value)]  # fmt: skip
            given += [part for to, part in pairs if isinstance(to, ast.Name) and to.id == name]
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            given += [found.value for found in ast.walk(node) if isinstance(found, ast.Return) and found.value]
    return {shape for value in given for shape in shapes_of(value, module)}


def alarms_of_the_code() -> set[str]:
    found: set[str] = {"slides-*", "slides-DUPLICATE", "results-*"}  # made in a loop (edge/daemon/waiting.py)
    for path in (REPOSITORY / "edge" / "daemon").glob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "raise_alarm":
                shapes = shapes_of(node.args[0], module)
                assert shapes or path.name == "waiting.py", f"{path.name}:{node.lineno}: which alarm is this?"
                found |= shapes
    return found


def test_every_alarm_of_the_code_is_explained_with_its_remedy_and_no_other() -> None:
    part = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8").partition("\n## Alarms\n")[2]
    rows = [line.split(" | ") for line in part.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert all(len(row) == 3 and len(row[2].rstrip(" |")) > 5 for row in rows)
    named = {re.sub(r"\.\.\.|ID$|STATE$|^NAME", "*", name) for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    assert named == alarms_of_the_code()


def test_decisions_are_numbered_without_a_gap_and_each_bears_its_number() -> None:
    decisions = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
    numbers = [int(path.name.partition("-")[0]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    heads = [path.read_text(encoding="utf-8").partition(". ")[0] for path in decisions]
    assert heads == [f"# {number}" for number in numbers]
