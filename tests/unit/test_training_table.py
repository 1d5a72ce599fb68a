"""Whether slides are apart from those of the training is compared, or refused: it never passes for want of names."""

from __future__ import annotations

import pytest

from convert.evaluation.training_table import require_apart
from convert.slide_labels import LabelledSlide
from edge.errors import EdgeError

OURS = [LabelledSlide("S1", "P1", "MDS"), LabelledSlide("S2", "P2", "AA")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("slide,mds_aa\nS9,MDS\n", "column patient"),
        ("slide,Patient,mds_aa\nS1,P1,MDS\n", "column patient"),
        ("patient,mds_aa\nP9,MDS\n", "column slide"),
        ("slide,patient,mds_aa\nS9,,MDS\n", "line 2"),
        ("slide,patient,mds_aa\nS8,P8,AA\n ,P9,MDS\n", "line 3"),
        ("slide,patient,mds_aa\n", "no line"),
        ("", "column slide, patient"),
    ],
)
def test_a_training_table_that_cannot_be_compared_is_refused(tmp_path, text, reason):
    (tmp_path / "training.csv").write_text(text, encoding="utf-8")
    with pytest.raises(EdgeError, match="MDSE-TRAIN-014") as refused:
        require_apart(OURS, tmp_path / "training.csv")
    assert reason in str(refused.value)


def test_a_patient_or_a_slide_on_both_sides_is_named(tmp_path):
    table = tmp_path / "training.csv"
    table.write_text("slide,patient,mds_aa\nS7, P2 ,MDS\n", encoding="utf-8")
    with pytest.raises(EdgeError, match=r"MDSE-VALIDATE-007 .*P2"):
        require_apart(OURS, table)
    table.write_text("slide,patient,mds_aa\nS1,SOMEBODY,MDS\n", encoding="utf-8")
    with pytest.raises(EdgeError, match=r"MDSE-VALIDATE-012 .*S1"):
        require_apart(OURS, table)


def test_a_training_table_of_other_patients_and_slides_passes(tmp_path):
    (tmp_path / "training.csv").write_text("\ufeffslide,patient\nS8,P8\nS9,P9\n", encoding="utf-8")
    require_apart(OURS, tmp_path / "training.csv")
