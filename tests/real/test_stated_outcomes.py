"""Whatever arrives leaves a result or a stated reason: one daemon meets every kind of slide, and none stops another.

The story is told once, in order; each chapter keeps what a person would see, and the tests read that.

    first_day    sound and faulty slides arrive together
    late_files   a file of a finished slide changes; a person releases the change
    new_bundle   the daemon starts again with another bundle; a person has one slide analyzed anew
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.bundle.digest import manifest_bytes
from edge.errors import error_catalogue
from tests.fault.site import Site
from tests.real.real_site import (
    TestedBundle,
    drawn_files,
    drawn_jpegs,
    export_slide,
    journal,
    real_site,
    records_of,
    shown,
    wait_for_model,
    wait_for_states,
)
from tests.real.traps import cut_short, huge_png, text_file

NEXT_VERSION = "999"  # newer than any: an older bundle is not let in
QUIET_S = 3.0
GROWING, GROWN_CELLS = "S-0007_GROWING", 14
BURST, PAUSE_S = 5, 1.1
BAD_CELLS = {"TRUNCATED": cut_short(drawn_jpegs(2)[4]), "HUGE-PNG": huge_png(), "TEXT-AS-JPG": text_file()}
BAD_CELL_CODES = {"TRUNCATED": "MDSE-IMAGE-004", "HUGE-PNG": "MDSE-IMAGE-002", "TEXT-AS-JPG": "MDSE-IMAGE-001"}
CONTRADICTING = "S-0001_CONTRADICTS"
STOPPED = {
    "EMPTY": ("HELD", "MDSE-SPOOL-004"),
    "LISTED-ABSENT": ("HELD", "MDSE-SPOOL-004"),
    "LISTED-SHORT": ("HELD", "MDSE-SPOOL-004"),
    "NO-SAMPLE-ID": ("HELD", "MDSE-SLIDE-001"),
    CONTRADICTING: ("QUARANTINED", "MDSE-SLIDE-002"),
    "TWO-METADATA": ("QUARANTINED", "MDSE-SLIDE-002"),
    "UNREADABLE": ("QUARANTINED", "MDSE-SLIDE-008"),
}
PUBLISHED = ("GOOD-FIRST", "GOOD-LAST", GROWING, *BAD_CELLS)
BY = ("--by", "K. Sato", "--reason", "looked at the smear")


@dataclass(frozen=True)
class Chapter:
    """What a person sees at its end: every slide's page in the journal, the published records, the drop folders."""

    site: Site
    shown: Mapping[str, dict[str, Any]]
    records: Mapping[str, list[dict[str, Any]]]
    files: Mapping[str, bytes]
    status: Mapping[str, Any]

    def reason(self, slide_key: str) -> str:
        return str(self.shown[slide_key]["slide"]["reason_text"])


def chapter(site: Site) -> Chapter:
    keys = sorted(row["slide_key"] for row in journal(site, "list")["slides"])
    files = {path.name: path.read_bytes() for name in site.formats for path in site.results(name)}
    return Chapter(
        site, {key: shown(site, key) for key in dict.fromkeys(keys)}, records_of(site), files, site.ask("status")
    )


def highest_memory_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def grow_slide(site: Site) -> tuple[set[str], float]:
    """Write a slide in bursts that end amid a file; return the states it was seen in and the longest pause (seconds).

    The pauses are longer than three looks of the scanner: only the quiet time keeps it from taking the folder.
    """
    folder = site.export / GROWING
    folder.mkdir()
    halves = [
        (f"{number:04d}.jpg", half)
        for number, data in enumerate(drawn_jpegs(7, GROWN_CELLS))
        for half in (data[: len(data) // 2], data[len(data) // 2 :])
    ]
    states, longest_s, last_s = set(), 0.0, time.monotonic()
    for start in range(0, len(halves), BURST):
        for name, half in halves[start : start + BURST]:
            with (folder / name).open("ab") as file:
                file.write(half)
        now_s = time.monotonic()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
        time.sleep(PAUSE_S)
        states.add(site.state_of(GROWING))
    return states, longest_s


def export_first_day(site: Site) -> None:
    export_slide(site.export, "GOOD-FIRST", drawn_files(1), sample_id="G1", targets=["mds_aa"])
    for number, (key, bad) in enumerate(BAD_CELLS.items(), start=2):
        suffix = ".png" if key == "HUGE-PNG" else ".jpg"
        files = {**drawn_files(number), f"wbc/0005{suffix}": bad}
        if suffix == ".png":
            del files["wbc/0005.jpg"]
        export_slide(site.export, key, files, sample_id=key)
    (site.export / "EMPTY").mkdir()
    listed = [{"name": name, "bytes": len(data)} for name, data in drawn_files(13).items()]
    absent = {name: data for name, data in drawn_files(13).items() if name != "wbc/0005.jpg"}
    export_slide(site.export, "LISTED-ABSENT", absent, sample_id="L1", files=listed)
    short = {**drawn_files(13), "wbc/0005.jpg": cut_short(drawn_jpegs(13)[4])}
    export_slide(site.export, "LISTED-SHORT", short, sample_id="L2", files=listed)
    export_slide(site.export, "NO-SAMPLE-ID", drawn_files(5), order_id="ORD-1")
    export_slide(site.export, CONTRADICTING, drawn_files(6), sample_id="S-0002")
    two = {**drawn_files(8), "slide.xml": b'<slide sample_id="M2"/>'}
    export_slide(site.export, "TWO-METADATA", two, sample_id="M1")
    unreadable = {name: cut_short(data) for name, data in drawn_files(9).items()}
    export_slide(site.export, "UNREADABLE", unreadable, sample_id="U1")
    export_slide(site.export, "GOOD-LAST", drawn_files(10), sample_id="G2", targets=["mds_aa"])


@dataclass(frozen=True)
class FirstDay(Chapter):
    worker_before: tuple[int, int]
    worker_after: tuple[int, int]
    states_while_growing: set[str]
    longest_pause_s: float


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: TestedBundle) -> Iterator[Site]:
    source = 'sample_id_pattern = "(S-[0-9]{4})_[A-Z]+"'
    made = real_site(tmp_path_factory.mktemp("site"), bundle, quiet_s=QUIET_S, scan_s=0.2, max_wait_s=15, source=source)
    yield made
    made.close()


@pytest.fixture(scope="module")
def first_day(site: Site) -> FirstDay:
    site.start()
    wait_for_model(site)
    worker = site.children()["worker"]
    before = worker, highest_memory_kb(worker)
    export_first_day(site)
    states, longest_s = grow_slide(site)
    wait_for_states(site, {key: state for key, (state, _) in STOPPED.items()} | dict.fromkeys(PUBLISHED, "CLOSED"))
    worker = site.children()["worker"]
    seen = chapter(site)
    return FirstDay(
        seen.site, seen.shown, seen.records, seen.files, seen.status,
        before, (worker, highest_memory_kb(worker)), states, longest_s,
    )  # fmt: skip


@pytest.fixture(scope="module")
def late_files(site: Site, first_day: FirstDay) -> tuple[Chapter, Chapter]:
    """The chapter while the change waits for a person, and the one after its release."""
    (site.export / "GOOD-FIRST" / "wbc" / "0003.jpg").write_bytes(drawn_jpegs(11)[0])
    wait_for_states(site, {"GOOD-FIRST": "LATE"})
    waiting = chapter(site)
    journal(site, "release", "di60/GOOD-FIRST", *BY)
    wait_for_states(site, {"GOOD-FIRST": "CLOSED"})
    return waiting, chapter(site)


@pytest.fixture(scope="module")
def new_bundle(site: Site, late_files: tuple[Chapter, Chapter], bundle: TestedBundle) -> tuple[Chapter, Chapter]:
    """The chapter after a restart with the bundle's next version, and the one after a person's reanalysis."""
    assert site.stop() == 0
    folder = site.root / "next-bundle"
    shutil.copytree(bundle.path, folder)
    (folder / "manifest.json").write_bytes(manifest_bytes(bundle.manifest | {"version": NEXT_VERSION}))
    text = site.config.read_text().replace(f'path = "{bundle.path}"', f'path = "{folder}"')
    if bundle.config_line:
        text = text.replace(bundle.config_line, "")  # nobody signed the changed manifest
    site.config.write_text(text)
    site.start()
    wait_for_model(site)
    export_slide(site.export, "GOOD-NEW", drawn_files(12), sample_id="G3")
    wait_for_states(site, {"GOOD-NEW": "CLOSED"})
    started = chapter(site)
    journal(site, "reanalyze", "di60/GOOD-LAST", *BY)
    site.wait_for(lambda: len(records_of(site)["GOOD-LAST"]) == 2, "the second revision", 60)
    wait_for_states(site, {"GOOD-LAST": "CLOSED"})
    return started, chapter(site)


def assert_says_what_where_and_what_to_do(text: str, code: str, where: str) -> None:
    """The catalogue's own sentences, up to their first placeholder, must have reached the person."""
    entry = error_catalogue()[code]
    assert text.startswith(f"{code} {where}")
    for sentence in (entry.what, entry.remedy):
        assert sentence.partition("{")[0].strip() in text


@pytest.mark.parametrize("slide_key", PUBLISHED)
def test_every_usable_slide_is_published_once_whatever_lies_beside_it(first_day: FirstDay, slide_key: str) -> None:
    (record,) = first_day.records[slide_key]
    page = first_day.shown[slide_key]
    assert page["slide"]["state"] == "CLOSED"
    assert [row["message_id"] for row in page["revisions"]] == [record["message_id"]]
    assert {row["state"] for row in page["revisions"][0]["deliveries"]} == {"SENT"}
    assert record["revision"] == 1


@pytest.mark.parametrize("slide_key", STOPPED)
def test_a_stopped_slide_says_what_where_and_what_to_do_and_sends_nothing(first_day: FirstDay, slide_key: str) -> None:
    state, code = STOPPED[slide_key]
    row = first_day.shown[slide_key]["slide"]
    assert (row["state"], row["reason_code"]) == (state, code)
    where = f"slide {row['id']}" if code == "MDSE-SPOOL-004" else slide_key
    assert_says_what_where_and_what_to_do(first_day.reason(slide_key), code, where)
    assert first_day.shown[slide_key]["revisions"] == []
    assert slide_key not in first_day.records


def test_the_reason_is_told_in_words(first_day: FirstDay) -> None:
    assert "the folder holds no images" in first_day.reason("EMPTY")
    assert "wbc/0005.jpg is promised by the metadata and is not there" in first_day.reason("LISTED-ABSENT")
    assert re.search(r"wbc/0005\.jpg holds \d+ bytes, \d+ were promised", first_day.reason("LISTED-SHORT"))
    assert "12 of 12 images cannot be used" in first_day.reason("UNREADABLE")
    assert "MDSE-IMAGE-004 wbc/0001.jpg" in first_day.reason("UNREADABLE")


@pytest.mark.parametrize("slide_key", BAD_CELLS)
def test_a_bad_cell_is_counted_and_named_and_the_slide_goes_on(first_day: FirstDay, slide_key: str) -> None:
    (record,) = first_day.records[slide_key]
    assert (record["images"], record["unreadable"], len(record["cells"])) == (12, 1, 11)
    assert all(not cell["file"].startswith("wbc/0005") for cell in record["cells"])
    (warning,) = (row for row in record["warnings"] if row["code"] == "UNREADABLE-IMAGES")
    code = BAD_CELL_CODES[slide_key]
    name = "wbc/0005.png" if slide_key == "HUGE-PNG" else "wbc/0005.jpg"
    assert warning["text"].startswith("1 of 12 images could not be used")
    assert f"{code} {name}: " in warning["text"]
    assert error_catalogue()[code].remedy in warning["text"]
    message = next(data for file, data in first_day.files.items() if file.endswith(".hl7") and slide_key in file)
    assert b"UNREADABLE-IMAGES" in message


def test_a_picture_of_1200_megabytes_costs_no_memory_and_no_worker(first_day: FirstDay) -> None:
    assert first_day.worker_after[0] == first_day.worker_before[0]
    assert first_day.worker_after[1] - first_day.worker_before[1] < 200_000
    assert sum(first_day.status["restarts"].values()) == 0


def test_a_growing_folder_is_left_alone_and_taken_whole(first_day: FirstDay) -> None:
    assert first_day.longest_pause_s < QUIET_S, "this machine stalled while the test wrote: nothing was shown"
    assert first_day.states_while_growing <= {"UNKNOWN", "SEEN"}
    (record,) = first_day.records[GROWING]
    assert (record["images"], record["unreadable"]) == (GROWN_CELLS, 0)
    assert record["slide"]["sample_id"] == "S-0007"


def test_what_waits_for_a_person_is_an_alarm(first_day: FirstDay) -> None:
    raised = {alarm["name"] for alarm in first_day.status["alarms"]}
    assert {"slides-HELD", "slides-QUARANTINED"} <= raised


def test_a_changed_file_in_a_finished_folder_is_late_and_sends_nothing(
    first_day: FirstDay, late_files: tuple[Chapter, Chapter]
) -> None:
    waiting, _ = late_files
    row = waiting.shown["GOOD-FIRST"]["slide"]
    assert (row["state"], row["reason_code"]) == ("LATE", "MDSE-SPOOL-007")
    assert_says_what_where_and_what_to_do(waiting.reason("GOOD-FIRST"), "MDSE-SPOOL-007", "slide ")
    assert waiting.files == first_day.files
    assert len(waiting.shown["GOOD-FIRST"]["revisions"]) == 1


def test_a_released_change_becomes_revision_2_and_nothing_else_is_sent(late_files: tuple[Chapter, Chapter]) -> None:
    waiting, released = late_files
    first, second = released.records["GOOD-FIRST"]
    assert (second["revision"], second["supersedes"]) == (2, first["message_id"])
    assert second["reason"] == "looked at the smear"
    changed = {cell["file"] for cell in second["cells"]} & {"wbc/0003.jpg"}
    digests = [{c["file"]: c["sha256"] for c in record["cells"]} for record in (first, second)]
    assert changed == {name for name in digests[0] if digests[0][name] != digests[1][name]}
    assert waiting.files.items() <= released.files.items()
    assert len(released.files) == len(waiting.files) + 2
    assert "uid:" in released.shown["GOOD-FIRST"]["revisions"][1]["made_by"]


def test_another_bundle_runs_no_old_slide_again(
    late_files: tuple[Chapter, Chapter], new_bundle: tuple[Chapter, Chapter]
) -> None:
    before, (started, _) = late_files[1], new_bundle
    assert started.records["GOOD-NEW"][0]["provenance"]["bundle"]["version"] == NEXT_VERSION
    new_files = {name for name in started.files if "GOOD-NEW" in name}
    assert {name: data for name, data in started.files.items() if name not in new_files} == before.files
    for key, page in before.shown.items():
        assert started.shown[key]["revisions"] == page["revisions"]
        assert started.shown[key]["slide"]["state"] == page["slide"]["state"]


def test_reanalyze_runs_the_slide_that_a_person_names_and_no_other(
    bundle: TestedBundle, new_bundle: tuple[Chapter, Chapter]
) -> None:
    started, again = new_bundle
    first, second = again.records["GOOD-LAST"]
    versions = [record["provenance"]["bundle"]["version"] for record in (first, second)]
    assert versions == [bundle.manifest["version"], NEXT_VERSION]
    assert (second["revision"], second["supersedes"], second["counts"]) == (2, first["message_id"], first["counts"])
    added = again.files.keys() - started.files.keys()
    assert len(added) == 2
    assert all("GOOD-LAST" in name for name in added)
