"""Every part of a validation page that was made on drawn cells says so itself."""

from __future__ import annotations

import pytest

from convert.evaluation.html_cells import original_part, preclass_part, probes_part
from convert.evaluation.html_report import report_from_validation
from edge.catalogue import load_catalogue

ROW = dict(n=3, sensitivity=0.9, ci95=None, specificity=0.9)
JUDGED = dict(macro_recall=0.9, macro_recall_ci95=None, accuracy=0.9, accuracy_ci95=None, cell_types={"SNE": ROW})
ORIGINAL = dict(JUDGED, n=3, top1_agreement=1.0, macro_recall_lost=0.0, macro_recall_lost_ci95=None)
PRECLASS = dict(
    n=3, network=dict(accuracy=1.0), analyzer=dict(accuracy=1.0), agreement=1.0, only_network_right=0,
    only_analyzer_right=0, outside_catalogue={}, cell_types={"SNE": dict(n=3, network=ROW, analyzer=ROW)},
)  # fmt: skip
PROBED = dict(values={"yes": 1, "no": 2}, auc=0.9, auc_ci95=None, accuracy=0.9, accuracy_ci95=None,
              balanced_accuracy=0.9)  # fmt: skip
PROBES = dict(types={"SNE": {"cell_shape": PROBED}})


@pytest.mark.parametrize("simulated", [True, False], ids=["drawn", "real"])
def test_each_study_of_drawn_cells_says_simulated_and_none_of_real_cells_does(simulated):
    parts = {
        "original": original_part(ORIGINAL, dict(JUDGED, simulated=simulated)),
        "preclass": preclass_part(PRECLASS, simulated=simulated),
        "probes": probes_part(PROBES, simulated=simulated),
    }
    assert {name: "SIMULATED" in str(part) for name, part in parts.items()} == dict.fromkeys(parts, simulated)
    assert {name: 'class="simulated"' in str(part) for name, part in parts.items()} == dict.fromkeys(parts, simulated)


@pytest.mark.parametrize("simulated", [True, False], ids=["drawn", "real"])
def test_the_page_says_simulated_over_each_study_that_was_made_on_drawn_cells(simulated):
    model = dict(kind="bundle", name="x", version="1", engine="e", precision="p", size_px=1, intended_use="demo")
    head = dict(model={**model, "sha256": "0" * 64}, made_at="now", software="s", paper_source="p")
    studies = dict(original=ORIGINAL, preclass=PRECLASS, probes=PROBES)
    document = {**head, **JUDGED, **studies, "simulated": simulated, "evidence": {}, "notices": [], "slides": {}}
    page = report_from_validation(document, {}, load_catalogue()).decode()
    assert page.count("SIMULATED: drawn") == (len(studies) if simulated else 0)
