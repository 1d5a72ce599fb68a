"""A wall clock that jumps by years changes what is written down, and nothing that is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from edge.bundle.signature import generate_key_pair, sign_manifest
from tests.fault.bench.clock import run_clock
from tests.fault.false_clock import FalseClock, missing_for_clock
from tests.fault.side_by_side import side_by_side
from tests.fault.site import write_slide
from tests.fault.watched_site import WatchedSite

WHY = missing_for_clock()
pytestmark = pytest.mark.skipif(bool(WHY), reason=f"no false clock: {WHY}")
YEAR_2100_S = 4102444800.0
REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_BUNDLE = REPOSITORY / "edge" / "demo" / "bundle"
VERIFIED_WHEN = """
import datetime
from edge.commands.bundle import main
print(main(), "in", datetime.date.today().year)
"""


@pytest.mark.case("E1")
@pytest.mark.case("E2")
def test_a_clock_that_jumps_makes_nothing_early_or_stuck(tmp_path: Path) -> None:
    runs = [
        lambda work: run_clock(3, work, steps=20),  # number 3 starts at 1970
        lambda work: run_clock(0, work, "wall_clock_for_budgets", steps=20),
        lambda work: run_clock(0, work, "wall_clock_for_quiet_time", steps=20),
    ]
    product, budgets, quiet = side_by_side(tmp_path, runs)
    assert product.faults == 0, product
    # The bench sees a supervisor that measures on the wall clock (it replaces children, or is late with the watchdog,
    # as the jumps fall) and such a scanner.
    assert budgets.faults
    assert quiet.faults


@pytest.mark.case("E3")
@pytest.mark.case("E6")
@pytest.mark.case("E7")
def test_in_2100_and_across_a_restart_slides_settle_anew_and_results_bear_the_time_with_its_offset(
    tmp_path: Path,
) -> None:
    site = WatchedSite(tmp_path / "site", quiet_s=3, scan_s=0.2)
    clock = FalseClock(tmp_path / "clock")
    clock.set(YEAR_2100_S - time.time())
    site.extra_environment = clock.environment()
    try:
        site.start()
        site.wait_ready()
        write_slide(site.export, "A1")
        site.wait_for(lambda: site.state_of("A1") == "SEEN", "the slide is seen")
        site.stop()
        site.start()
        site.wait_ready()
        begun_s = time.monotonic()
        site.wait_state("A1", "CLOSED")
        assert time.monotonic() - begun_s > 2.0, "the quiet time of before the restart does not count"
        written = datetime.fromisoformat(json.loads(site.results()[0].read_bytes())["analysed_at"])
        assert (written.year, written.utcoffset().total_seconds()) == (2100, 9 * 3600)
        assert site.stop() == 0
    finally:
        site.close()


@pytest.mark.case("E5")
def test_a_signature_of_today_is_good_in_2100(tmp_path: Path) -> None:
    private_key, public_key = generate_key_pair()
    bundle = shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")
    (bundle / "manifest.sig").write_bytes(sign_manifest((bundle / "manifest.json").read_bytes(), private_key))
    (tmp_path / "public.pem").write_bytes(public_key)
    clock = FalseClock(tmp_path / "clock")
    clock.set(YEAR_2100_S - time.time())
    command = [sys.executable, "-c", VERIFIED_WHEN, "verify", str(bundle), "--public-key", str(tmp_path / "public.pem")]
    found = subprocess.run(
        command, env=os.environ | clock.environment(), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert found.stdout.endswith("\n0 in 2100\n"), found
