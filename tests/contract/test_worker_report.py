"""What the worker makes of an order: the report as the site's configuration says, the record from the daemon's copy."""

from __future__ import annotations

import json
import re

from bundles import PUBLIC_KEY, write_bundle, write_slide

from edge.config import config_from_text
from edge.daemon.worker import BundleAnalyzer
from edge.daemon.worker_orders import model_settings

CONFIG = """\
[site]
id = "HEMLAB"
timezone = "Asia/Tokyo"
language = "ja"

[bundle]
path = "{root}/bundle"
public_key = "{root}/key.pem"

[reference]
source = "Laboratory handbook 7"
intervals = ["SNE 80 90"]

[[source]]
id = "di60"
path = "/srv/di60-export"

[[output]]
format = "hl7"
path = "/srv/lis-drop/hl7"
ack = "file-gone"
"""
ORDER = {
    "slide_key": "A0042_S1",
    "sample_id_pattern": None,
    "job": {
        "source": "di60", "revision": 1, "message_id": "9F3C21AA04B7.R1", "supersedes": None, "reason": None,
        "status": "P", "analysed_at": "2026-11-23T18:00:00+09:00", "assess_all": True, "manifest_sha256": "4e" * 32,
        "site": "HEMLAB", "degraded": False, "warnings": [], "reported": [],
    },
}  # fmt: skip


def test_the_report_is_in_the_sites_language_beside_its_own_intervals(tmp_path):
    write_bundle(tmp_path / "bundle")
    (tmp_path / "key.pem").write_bytes(PUBLIC_KEY)
    write_slide(tmp_path / "A0042_S1", ["SNE"] * 9 + ["LY"] * 6, findings=True)
    config = config_from_text(CONFIG.format(root=tmp_path))
    analyzer = BundleAnalyzer(model_settings(config, device="cpu", cache=None))
    _, report = analyzer.analyze({**ORDER, "folder": str(tmp_path / "A0042_S1")})
    page = report.decode("utf-8")
    assert '<html lang="ja">' in page
    assert "Laboratory handbook 7" in page
    assert re.search(r">80 . 90 <strong>低値</strong>", page)


def test_a_name_without_a_kind_is_not_missing_from_the_copy_which_holds_cells_only(tmp_path):
    write_bundle(tmp_path / "bundle")
    (tmp_path / "key.pem").write_bytes(PUBLIC_KEY)
    folder = write_slide(tmp_path / "A0042_S1", ["SNE"] * 9, files=[{"name": "r1.png"}])
    config = config_from_text(CONFIG.format(root=tmp_path))
    analyzer = BundleAnalyzer(model_settings(config, device="cpu", cache=None))
    record, _ = analyzer.analyze({**ORDER, "folder": str(folder)})
    assert "META-INCOMPLETE" not in [warning["code"] for warning in json.loads(record)["warnings"]]
