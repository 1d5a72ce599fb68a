"""The table of slides is read whole or refused, with every fault named."""

from __future__ import annotations

import pytest

from convert.slide_labels import read_slide_labels, read_unlabelled_slides
from edge.errors import EdgeError


def read(folder, text, *, classes=("MDS", "AA"), leave_out=(), said=None):
    path = folder / "slides.csv"
    path.write_text(text, encoding="utf-8")
    return read_slide_labels(path, "mds_aa", classes, (said if said is not None else []).append, leave_out=leave_out)


def test_slides_without_the_target_are_left_out_with_a_notice(tmp_path):
    said = []
    text = "slide,patient,mds_aa\nA,P1,MDS\nB,P2,\nC,P3,AA\nD,P4,CML\n"
    slides = read(tmp_path, text, leave_out=("CML",), said=said)
    assert [(s.slide, s.patient, s.label) for s in slides] == [("A", "P1", "MDS"), ("C", "P3", "AA")]
    assert said == [
        "note: 1 slides left out: mds_aa is blank", "note: 1 slides left out: mds_aa is CML",
    ]  # fmt: skip


def test_more_than_two_classes_keep_their_names(tmp_path):
    text = "slide,patient,mds_aa\nA,P1,PV\nB,P2,ET\nC,P3,PMF\n"
    assert [s.label for s in read(tmp_path, text, classes=("PV", "ET", "PMF"))] == ["PV", "ET", "PMF"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("slide,patient\nA,P1\n", "014", "mds_aa"),
        ("slide,mds_aa\nA,MDS\n", "014", "patient"),
        ("slide,patient,mds_aa\nA,P1,MDS\nA,P1,MDS\nB,P2,AA\n", "014", "A is here twice"),
        ("slide,patient,mds_aa\nA,P1,MDS\nB,P1,AA\nC,P2,AA\n", "014", "in two classes, MDS and AA"),
        ("slide,patient,mds_aa\n../A,P1,MDS\nB,P2,AA\n", "014", "no folder name"),
        ("slide,patient,mds_aa\n,P1,MDS\nB,P2,AA\n", "014", "no folder name"),
        ("slide,patient,mds_aa\nA,,MDS\nB,P2,AA\n", "014", "no patient"),
        ("slide,patient,mds_aa\nA,P1,MDS\nB,P2,Aa\nC,P3,AA\n", "018", "'Aa'"),
        ("slide,patient,mds_aa\nA,P1,MDS\n", "019", "AA"),
        ("slide,patient,mds_aa\n", "019", "MDS, AA"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path, text, code, words):
    with pytest.raises(EdgeError, match=words) as raised:
        read(tmp_path, text)
    assert raised.value.code == f"MDSE-TRAIN-{code}"
    assert raised.value.exit_status == 2


def test_all_faults_of_a_table_are_named_together(tmp_path):
    bad = "".join(f"X{number},P{number},Mds\n" for number in range(12))
    with pytest.raises(EdgeError) as raised:
        read(tmp_path, f"slide,patient,mds_aa\nA,P1,MDS\nB,,AA\n{bad}")
    said = str(raised.value)
    assert raised.value.code == "MDSE-TRAIN-017"
    assert "13 faults" in said
    assert "MDSE-TRAIN-014" in said
    assert "line 3" in said
    assert "MDSE-TRAIN-018" in said
    assert "and 5 more" in said


def test_films_of_neither_class_need_a_slide_and_a_patient_only(tmp_path):
    (tmp_path / "slides.csv").write_text("slide,patient,mds_aa\nA,P1,\nB,P2,CML\n", encoding="utf-8")
    assert [(s.slide, s.patient, s.label) for s in read_unlabelled_slides(tmp_path / "slides.csv")] == [
        ("A", "P1", ""), ("B", "P2", ""),
    ]  # fmt: skip
    (tmp_path / "slides.csv").write_text("slide,patient\nA,\n", encoding="utf-8")
    with pytest.raises(EdgeError, match="no patient"):
        read_unlabelled_slides(tmp_path / "slides.csv")
