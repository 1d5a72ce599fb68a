"""A share that hangs, fails, slows down or looks empty: an alarm, no late watchdog, and nothing lost."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from tests.fault.bad_share import FAULTS, bad_share, missing_for_share
from tests.fault.bench.contract import Outcome
from tests.fault.bench.share import ShareSite, run_faults
from tests.fault.side_by_side import side_by_side
from tests.fault.site import jpeg_like, write_slide
from tests.fault.watched_site import key_of

WHY = missing_for_share()
pytestmark = pytest.mark.skipif(bool(WHY), reason=f"no FUSE share: {WHY}")


@pytest.fixture
def share_site(tmp_path: Path):
    with bad_share(tmp_path / "site" / "export", tmp_path / "share") as share:
        site = ShareSite(tmp_path / "site", share)
        try:
            yield site
        finally:
            site.close()


@pytest.mark.case("D15")
@pytest.mark.case("D16")
@pytest.mark.case("D17")
def test_no_fault_of_the_share_delays_the_watchdog_or_a_spooled_slide_or_loses_one(tmp_path: Path) -> None:
    runs = [partial(one_fault, number) for number, fault in enumerate(FAULTS) if fault != "slow"]
    wrong = [
        lambda work: run_faults(60, work, ("empty",), "empty_source_means_vanished", side_by_side=1),
        lambda work: run_faults(0, work, ("hang",), "supervisor_looks_at_the_share", side_by_side=1, hold_s=10.0),
    ]
    *outcomes, believed, touched = side_by_side(tmp_path, [*runs, *wrong])
    assert all(outcome.points == 1 for outcome in outcomes), outcomes
    assert [outcome.note for outcome in outcomes if outcome.faults] == []
    # The bench sees an empty share that is believed, and a supervisor that touches the share itself.
    assert "vanished" in believed.note
    assert "watchdog late" in touched.note


def one_fault(number: int, work: Path) -> Outcome:
    return run_faults(number + len(FAULTS) * 120, work, FAULTS, side_by_side=1)


@pytest.mark.case("D14")
def test_a_share_that_is_away_at_the_start_is_waited_for(share_site: ShareSite) -> None:
    share_site.share.order("eio")
    share_site.start()
    share_site.wait_ready()
    share_site.wait_for(lambda: "source-di60" in share_site.alarms(), "an alarm")
    write_slide(share_site.export, "A1")
    share_site.share.order("")
    share_site.wait_state("A1", "CLOSED")
    assert share_site.alarms() == []
    assert share_site.stop() == 0


@pytest.mark.case("C3")
def test_a_daemon_whose_scanner_hangs_in_the_share_stops_when_it_is_told_to(share_site: ShareSite) -> None:
    share_site.start()
    share_site.wait_ready()
    write_slide(share_site.export, "A1")
    share_site.wait_state("A1", "CLOSED")
    share_site.share.order("hang")
    share_site.wait_for(lambda: share_site.share.met_at_s() is not None, "the scanner hangs")
    assert share_site.stop() == 0


@pytest.mark.case("C6")
def test_a_scanner_that_cannot_even_be_killed_is_abandoned_and_followed_when_the_share_is_back(
    share_site: ShareSite,
) -> None:
    share_site.wrong_part = "scanner_has_little_time"
    share_site.start()
    share_site.wait_ready()
    begun_s = time.monotonic()
    scanner = share_site.children()["scanner"]
    share_site.share.order("hang")
    write_slide(share_site.export, "A1")
    share_site.wait_for(lambda: "scanner di60-stuck" in share_site.alarms(), "it is abandoned")
    assert Path(f"/proc/{scanner}").exists(), "not even SIGKILL ended it"
    share_site.share.order("")
    share_site.wait_state("A1", "CLOSED")
    assert share_site.children()["scanner"] != scanner
    assert share_site.watchdog.times_late(begun_s, time.monotonic()) == 0
    assert share_site.stop() == 0


@pytest.mark.case("A20")
@pytest.mark.case("A26")
@pytest.mark.case("A7")
@pytest.mark.case("A8")
@pytest.mark.case("E4")
def test_slides_that_are_locked_or_dated_wrongly_arrive_and_one_that_goes_during_the_copy_does_not(
    share_site: ShareSite,
) -> None:
    export = share_site.export
    share_site.start()
    share_site.wait_ready()
    locked = write_slide(export, "LOCKED")
    share_site.share.order("eacces", first_operation=20)
    for name, year_s in (("OLD", 315532800), ("FUTURE", 4102444800)):
        for file in write_slide(export, name).iterdir():
            os.utime(file, (year_s, year_s))
    share_site.wait_for(lambda: bool(share_site.alarms()), "an alarm while the files are locked")
    share_site.share.order("")
    for name in ("LOCKED", "OLD", "FUTURE"):
        share_site.wait_state(name, "CLOSED")
    share_site.share.order("slow", first_operation=1)
    going = write_slide(export, "GOING")
    for file in going.iterdir():
        file.unlink()
    going.rmdir()
    share_site.share.order("")
    write_slide(export, "NEXT")
    share_site.wait_state("NEXT", "CLOSED")
    assert locked.is_dir()
    assert {key_of(path) for path in share_site.results()} == {"LOCKED", "OLD", "FUTURE", "NEXT"}
    assert share_site.stop() == 0
    assert list((share_site.root / "state/spool/incoming").iterdir()) == []


@pytest.mark.case("A1")
@pytest.mark.case("A13")
@pytest.mark.case("A25")
@pytest.mark.case("D18")
def test_a_growing_slide_on_a_share_that_shows_old_attributes_is_taken_whole(tmp_path: Path) -> None:
    images, pause_s = 6, 0.7
    with bad_share(tmp_path / "site" / "export", tmp_path / "share", attr_timeout=1.0, entry_timeout=1.0) as share:
        site = ShareSite(tmp_path / "site", share)
        site.config.write_text(site.config.read_text().replace("quiet_s = 1", "quiet_s = 3"))
        try:
            site.start()
            site.wait_ready()
            folder = share.backing / "GROWS"
            folder.mkdir()
            for index in range(images):
                path = folder / f"{index:04d}.jpg"
                path.write_bytes(b"\0" * 260)  # preallocated: its size is there before its content
                time.sleep(pause_s)
                path.write_bytes(jpeg_like(f"grows/{index}"))
                path.chmod(0o640 if index % 2 else 0o600)  # a virus scanner's kind of touch
            (folder / "slide.json").write_text('{"sample_id": "S-GROWS"}')
            site.wait_state("GROWS", "CLOSED")
            taken = site.ask("show", slide="di60/GROWS")["slide"]["file_count"]
            assert (taken, len(site.results())) == (images + 1, 1)
        finally:
            site.close()
