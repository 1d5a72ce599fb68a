"""The report is one file: it asks nothing of anybody, says what the record says and obeys no identifier."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from records import assessment, example_record, record_from_cells, records, with_use

from edge.writers.html_page import policy
from edge.writers.html_report import render_report
from edge.writers.report_context import ReportContext

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 12
VOID = {"meta"}


class Page(HTMLParser):
    """An independent reader: tags must balance; keeps elements, attributes and visible text."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"}.intersection(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.elements if attribute in attrs]


def report(record: dict[str, Any]) -> bytes:
    return render_report(record, {cell["id"]: JPEG for cell in record["cells"]})


def page(record: dict[str, Any]) -> Page:
    return Page(report(record))


EXAMPLE = report(example_record())


def assert_self_contained(content: bytes) -> None:
    read = Page(content)
    assert {tag for tag, _ in read.elements}.isdisjoint({"iframe", "object", "embed", "link", "base", "form"})
    assert [attrs for tag, attrs in read.elements if tag == "script"] == [{}]
    script = content.split(b"<script>")[1].split(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy()
    assert content.count(policy().encode()) == 1
    assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")]
    for value in (*read.values("href"), *read.values("src")):
        assert value.startswith(("#", "data:image/jpeg;base64,"))
    style = content.decode().split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)


def test_the_report_asks_nothing_of_anybody_and_runs_nothing_but_its_own_sorting():
    assert_self_contained(EXAMPLE)
    without_script = re.sub(rb"<script>.*?</script>", b"", EXAMPLE, flags=re.DOTALL)
    assert not re.search(rb"https?:|//[a-z]", re.sub(rb"base64,[^\"]*", b"", without_script))
    assert b"default-src 'none'" in EXAMPLE


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(records())
def test_hostile_texts_stay_text_and_the_same_record_gives_the_same_page(record):
    content = report(record)
    assert_self_contained(content)
    assert content == report(record)
    read = Page(content)
    anchors = set(read.values("id"))
    assert all(value[1:] in anchors for value in read.values("href") if value.startswith("#"))
    assert len(read.values("id")) == len(anchors)


HOSTILE_IDS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</title><b>",
    "&lt;",
]


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_a_hostile_identifier_is_shown_as_the_text_it_is(hostile):
    record = example_record()
    record["slide"] = {**record["slide"], "sample_id": hostile, "slide_key": hostile}
    record["warnings"] = [{"code": hostile, "text": hostile}]
    content = report(record)
    assert_self_contained(content)
    assert hostile in Page(content).text
    assert content.count(b"<script") == 1


def test_direction_marks_and_control_characters_are_spelled_out():
    content = report(example_record(warnings=[{"code": "W", "text": "safe\u202eevil\x1b[31m"}])).decode()
    assert "\u202e" not in content
    assert "safe\\u202eevil\\x1b[31m" in content


def test_every_count_percentage_and_interval_of_the_differential_is_on_the_page():
    text = page(example_record()).text
    for row in example_record()["profile"][:11]:
        low, high = (f"{100 * end:.1f}" for end in row["ci95"])
        assert f"{low} to {high}" in text
    assert "41.0" in text
    assert "18 of 50" in text
    assert "36.0 %" in text
    assert "Score 0.873" in text
    assert "95 % counting interval 0.691 to 0.951" in text


def test_the_bars_add_up_to_the_margin_in_words():
    assert (
        "Bars shown: 2.019. Base value and all parameters not shown: \u22120.090. Margin: 1.929."
        in page(example_record()).text
    )


def test_every_bar_leads_to_its_cells_and_every_cell_to_its_picture():
    read = page(example_record())
    bars = [
        attrs["href"] for tag, attrs in read.elements if tag == "a" and "towards" in (attrs.get("aria-label") or "")
    ]
    assert bars == [f"#behind-0-{number}" for number in range(11)]
    cells = [identifier for identifier in read.values("id") if identifier.startswith("cell-")]
    assert len(cells) == len(example_record()["cells"])
    pictures = [identifier for identifier in read.values("id") if identifier.startswith("picture-")]
    assert len(pictures) == len(cells)


def test_each_picture_is_stored_once_and_two_hundred_cells_stay_below_six_megabytes():
    record = record_from_cells([("SNE", {"NE04": 0.9})] * 200)
    content = render_report(record, {cell["id"]: b"\xff\xd8" + bytes(6_000) for cell in record["cells"]})
    assert content.count(b"data:image/jpeg") == 200
    assert len(content) < 6_000_000


def test_a_cell_without_a_picture_is_said_to_have_none():
    content = render_report(example_record(), {})
    assert_self_contained(content)
    assert "no image" in Page(content).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "PRELIMINARY"),
        ({"status": "F"}, "FINAL"),
        ({"status": "C"}, "CORRECTED"),
        ({"status": "W", "reason": "wrong sample"}, "Reason given: wrong sample"),
        ({"status": "W"}, "This result was withdrawn. Do not use it."),
        ({"status": "X"}, "COULD NOT BE EVALUATED"),
        ({"mode": "T"}, "Demo bundle: not for clinical use."),
    ],
)
def test_the_status_of_the_result_is_in_words_at_the_top(changes, words):
    text = page(example_record(**changes)).text
    assert words in text
    assert text.index(words) < text.index("Differential")


def test_a_test_run_carries_a_watermark_and_simulated_data_is_called_simulated():
    record = example_record(mode="T")
    record["slide"] = {**record["slide"], "analyzer": {"model": "SIMULATED DI-60", "serial": None, "software": None}}
    content = report(record)
    assert b'class="watermark"' in content
    assert "SIMULATED DATA" in Page(content).text
    assert b'class="watermark"' not in EXAMPLE


@pytest.mark.parametrize(("language", "words"), [("en", "RESEARCH USE ONLY"), ("ja", "研究専用")])
def test_a_result_for_research_only_says_so_above_every_figure_and_on_every_printed_page(language, words):
    def content_of(intended_use: str, **changes: Any) -> bytes:
        record = with_use(example_record(**changes), intended_use)
        return render_report(record, {}, ReportContext(language=language))

    research = Page(content_of("research")).text
    assert research.index(words) < research.index("MDS-SUSPECT")
    assert research.rstrip().endswith(words), "the line at the foot of every sheet"
    for intended_use, changes, banners in (("research", {}, 1), ("clinical", {}, 0), ("demo", {"mode": "T"}, 1)):
        content = content_of(intended_use, **changes)
        assert content.count(b'class="banner test"') == banners
        assert (words in Page(content).text) is (intended_use == "research")


def test_a_degraded_run_is_said_to_be_one():
    record = example_record()
    record["provenance"] = {**record["provenance"], "degraded": True}
    assert "DEGRADED" in page(record).text
    assert "DEGRADED" not in page(example_record()).text


def test_a_score_that_may_not_be_given_is_nowhere_on_the_page():
    record = example_record(assessments=[assessment("NOT-EVALUABLE", None)])
    text = page(record).text
    assert "NOT-EVALUABLE" in text
    assert b'class="scale"' not in report(record)


def test_an_indeterminate_call_says_that_the_side_means_nothing():
    text = page(example_record(assessments=[assessment("INDETERMINATE", 0.52, (0.3, 0.7))])).text
    assert "Read nothing into the side" in text


def test_what_was_not_seen_and_what_could_not_be_looked_for_are_told_apart():
    text = page(record_from_cells([("SNE", {})])).text
    assert "Looked for and not seen: Pseudo-Pelger-Huet" in text
    assert re.search(r"No cells, so nothing can be said: .*Blasts", text)


def test_a_slide_without_leucocytes_shows_no_percentage():
    text = page(record_from_cells([("SMU", {})])).text
    assert "not countable" in text
    assert "0.0" not in text.split("Findings")[0].split("Differential")[1]


def test_the_limits_of_use_and_the_provenance_are_on_every_page():
    text = page(example_record()).text
    for words in ("verify on the smear", "named wrongly", "wbc 2026.1", "ab" * 32, "mds-edge 0.1.0", "research only"):
        assert words in text


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_colours_have_the_contrast_that_wcag_aa_asks_for_and_the_two_sides_differ_in_grey(repository: Path):
    css = (repository / "edge" / "writers" / "report.css").read_text(encoding="utf-8")
    tokens = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", css))
    for ink, ground in itertools.product(("ink", "quiet", "blue", "orange"), ("paper", "ground")):
        bright, dark = sorted((luminance(tokens[ink]), luminance(tokens[ground])), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
    bright, dark = sorted((luminance(tokens["blue"]), luminance(tokens["orange-bar"])), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 1.8
