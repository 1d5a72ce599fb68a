"""The report in a real browser: axe-core finds no serious fault, nothing is asked for, nothing runs but the sorting.

Needs Node and Chromium (Debian: nodejs, npm, chromium; MDS_EDGE_CHROMIUM may name another browser). The two packages of
tests/real/browser/package-lock.json are installed with npm on first use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_examples import HOSTILE, STATES, drawn_thumbnails, full_record

from edge.commands.report import main as write_index
from edge.record_text import record_bytes
from edge.writers.html_report import render_report

BROWSER_FOLDER = Path(__file__).parent / "browser"
PACKAGES = ("axe-core", "playwright-core")
SERIOUS = ("serious", "critical")


def chromium() -> str:
    named = os.environ.get("MDS_EDGE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None or shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node, npm and chromium on the path")
    return found


def install_packages() -> None:
    if all((BROWSER_FOLDER / "node_modules" / name / "package.json").is_file() for name in PACKAGES):
        return
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts"], cwd=BROWSER_FOLDER, capture_output=True, text=True, timeout=180, check=False
    )
    if done.returncode:
        pytest.skip(f"npm ci could not install {', '.join(PACKAGES)}: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the browser says of every state of the report and of the index, by name of the page."""
    browser = chromium()
    install_packages()
    folder = tmp_path_factory.mktemp("pages")
    for name, make in STATES.items():
        record, context = make()
        (folder / f"{name}.html").write_bytes(render_report(record, drawn_thumbnails(record), context))
    write_index([str(archive_of_two_samples(tmp_path_factory)), "--output", str(folder / "index.html")])
    pages = [str(folder / f"{name}.html") for name in (*STATES, "index")]
    done = subprocess.run(
        ["node", "look.mjs", browser, *pages], cwd=BROWSER_FOLDER, capture_output=True, text=True, timeout=540,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {found["page"]: found for found in json.loads(done.stdout)}


def archive_of_two_samples(factory: pytest.TempPathFactory) -> Path:
    archive = factory.mktemp("archive")
    for number, sample_id in enumerate(("0000000002", "0000000001", "0000000001"), start=1):
        record = full_record(message_id=f"9F3C21AA04B{number}.R1", analysed_at=f"2026-0{number}-03T18:00:00+09:00")
        record["slide"] = {**record["slide"], "sample_id": sample_id, "slide_key": f"{sample_id}_S{number}"}
        (archive / f"{record['message_id']}.json").write_bytes(record_bytes(record))
    return archive


PAGES = (*STATES, "index")


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_fault(seen, name):
    grave = [found for found in seen[name]["violations"] if found["impact"] in SERIOUS]
    assert not grave, json.dumps(grave, indent=1)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_asked_for_and_nothing_goes_wrong(seen, name):
    assert seen[name]["asked"] == []
    assert seen[name]["errors"] == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_screen_a_tablet_or_a_phone(seen, name):
    assert seen[name]["wide"] == {}


def test_hostile_texts_run_nothing_and_make_no_element(seen):
    hostile = seen["hostile"]
    assert hostile["dialogs"] == []
    assert hostile["images"] == 0
    assert hostile["scripts"] == 1
    assert HOSTILE.split("\u202e")[0] in hostile["title"]


@pytest.mark.parametrize("name", STATES)
def test_the_script_only_orders_the_cells_and_the_page_does_not_need_it(seen, name):
    assert seen[name]["sorting"]["cells"] == {"same": True, "ordered": True}
    assert seen[name]["sorting"]["back"] is True
    assert seen[name]["chooserHiddenWithoutScript"] is True
    assert seen[name]["textWithoutScript"] > 3000


def test_a_click_sorts_the_index_and_another_turns_it_round(seen):
    table = seen["index"]["sorting"]["table"]
    assert table == {"up": ["0000000001", "0000000002"], "reversed": True}


def test_the_page_says_its_language(seen):
    assert {name: found["lang"] for name, found in seen.items() if found["lang"] != "en"} == {"japanese": "ja"}
