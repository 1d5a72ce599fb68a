"""The steps of docs/operate.md, "A new state folder at an old site", where the drop folder was lost with the disk."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.site import Site, write_slide

HOLDING = 'marker = ["nothing-is-to-be-read"]\nmarker_required = true\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.mark.parametrize(("max_wait_s", "state"), [(1800, "SEEN"), (2, "HELD")])
def test_a_marker_that_no_folder_holds_keeps_everything_unread_until_it_is_adopted(
    site: Site, max_wait_s: int, state: str
) -> None:
    write_slide(site.export, "A1")
    # It shortens quiet_s to seconds: a long quiet_s alone would not hold this slide back.
    (site.export / "A1" / ".complete").touch()
    whole = site.config.read_text()
    text = whole.replace("max_wait_s = 1800", f"max_wait_s = {max_wait_s}")
    site.config.write_text(text.replace('[[source]]\nid = "di60"\n', f'[[source]]\nid = "di60"\n{HOLDING}'))
    site.start()
    site.wait_ready()
    site.wait_state("A1", state)
    assert site.ask("reconcile")["seen"] == 1
    reply = site.ask("adopt", by="K. Sato", reason="the disk was replaced; all of it was delivered")
    assert (reply["ok"], reply["slides"]) == (True, 1)

    site.config.write_text(whole)
    assert site.process is not None
    site.process.send_signal(signal.SIGHUP)
    write_slide(site.export, "A2")
    site.wait_for(lambda: site.answers() and site.state_of("A2") == "CLOSED", "the slide that came afterwards")
    assert [path.name.partition("_r1")[0].rpartition("_")[2] for path in site.results()] == ["A2"]
    shown = site.ask("show", slide="di60/A1")
    assert (shown["slide"]["state"], shown["slide"]["reason_code"], shown["revisions"]) == ("CLOSED", "ADOPTED", [])
    assert site.stop() == 0


def test_a_drop_folder_without_an_identity_keeps_nothing_back(site: Site) -> None:
    write_slide(site.export, "A1")
    site.start()
    site.wait_ready()
    site.wait_state("A1", "CLOSED")
    assert site.stop() == 0
    shutil.rmtree(site.root / "state")
    shutil.rmtree(site.drop())
    site.drop().mkdir()
    site.start()
    site.wait_ready()
    site.wait_state("A1", "CLOSED")
    assert len(site.results()) == 1
    assert site.stop() == 0
