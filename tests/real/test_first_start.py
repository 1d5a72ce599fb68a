"""The first start of a site whose configuration was checked before, as the sample configuration says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fault.site import REPOSITORY
from tests.real.real_site import (
    PATIENCE_S,
    TestedBundle,
    drawn_files,
    export_slide,
    real_site,
    records_of,
    wait_for_model,
)


def test_a_site_that_was_checked_before_its_first_start_sends_its_results(tmp_path: Path, bundle: TestedBundle) -> None:
    site = real_site(tmp_path, bundle)
    checked = subprocess.run(
        site.command("--check-config"), env=site.environment(), cwd=REPOSITORY, capture_output=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr.decode(errors="replace")
    assert b"output hl7: " in checked.stdout
    assert [list(site.drop(name).iterdir()) for name in site.formats] == [[], []]
    export_slide(site.export, "A1", drawn_files(1), sample_id="S1")
    try:
        site.start()
        wait_for_model(site)
        site.wait_for(lambda: "A1" in records_of(site) and site.results("hl7") != [], "A1 is sent", PATIENCE_S)
        assert "MDSE-DAEMON-015" not in site.log.read_text()
        assert site.stop() == 0
    finally:
        site.close()
