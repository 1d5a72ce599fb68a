"""edge-run and edge-bench say what was found on one slide, and fail with one line and a fixed exit status."""

from __future__ import annotations

import json

import pytest
from bundles import PUBLIC_KEY, write_bundle, write_slide

from edge.bench.claims import check_claim
from edge.bench.report import percentile
from edge.bundle.signature import generate_key_pair
from edge.commands import bench, run
from edge.errors import EdgeError

TYPES = ["SNE"] * 9 + ["BNE"] * 2 + ["LY"] * 6 + ["BL"] + ["LP"] * 3
AT = "2026-11-23T18:00:00+09:00"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    write_bundle(root / "bundle")
    (root / "key.pem").write_bytes(PUBLIC_KEY)
    write_slide(root / "A0042_S1", TYPES, findings=True)
    return root


def run_on(site, *options, slide="A0042_S1"):
    return run.main(
        [str(site / slide), "--bundle", str(site / "bundle"), "--public-key", str(site / "key.pem"), *options]
    )


def test_one_page_tells_what_was_found(site, capsys):
    assert run_on(site) == 0
    page, progress = capsys.readouterr()
    page = " ".join(page.split())
    for words in (
        "Sample 0012345678", "TEST: Demo bundle: not for clinical use", "21 images received, 18 leucocytes, 3 other",
        "Segmented neutrophil SNE 9 50.0 %", "Large platelet LP 3 16.7 /100",
        "Pseudo-Pelger-Huet anomaly (bilobed nucleus) NE01 11/11 100.0 %", "MDS or AA:", "threshold 0.5",
        "BLAST-REVIEW: Blasts: 1 blast among 18 leucocytes (5.6%)", "INFECTION-PATTERN", "is not a diagnosis.",
    ):  # fmt: skip
        assert words in page
    assert len(page.splitlines()) <= 60
    assert "signed by the given key" in progress


def test_json_is_the_record_and_the_same_slide_gives_the_same_bytes_but_for_the_times(site, capsysbinary):
    outputs = []
    for _ in range(2):
        assert run_on(site, "--json", "--at", AT) == 0
        record = json.loads(capsysbinary.readouterr().out)
        assert set(record.pop("stage_ms")) == set("decode resize infer findings profile assess explain".split())
        outputs.append(record)
    assert json.dumps(outputs[0]) == json.dumps(outputs[1])
    assert outputs[0]["analysed_at"] == AT
    assert outputs[0]["schema"] == "mds-edge.record/1"


def test_files_are_written_whole_where_they_were_asked_for(site, tmp_path):
    assert run_on(site, "--html", str(tmp_path / "new" / "r.html"), "--out", str(tmp_path / "out")) == 0
    assert (tmp_path / "new" / "r.html").read_bytes().rstrip().endswith(b"</html>")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["hl7", "html", "json"]
    record = json.loads((tmp_path / "out" / names[2]).read_bytes())
    assert names[2] == f"{record['message_id']}.json"


def test_a_place_that_cannot_be_written_is_named(site, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run_on(site, "--html", str(tmp_path / "file" / "r.html")) == 75
    assert "MDSE-ASSESS-003" in capsys.readouterr().err


def test_a_bundle_of_another_maker_ends_with_4_and_one_line(site, tmp_path, capsys):
    (tmp_path / "other.pem").write_bytes(generate_key_pair()[1])
    assert run_on(site, "--public-key", str(tmp_path / "other.pem")) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: MDSE-BUNDLE-009 manifest.sig")
    assert len(error.splitlines()) == 1


def test_a_key_that_is_not_there_ends_with_78(site, capsys):
    assert run_on(site, "--public-key", str(site / "nowhere.pem")) == 78
    assert "MDSE-BUNDLE-010" in capsys.readouterr().err


def test_a_slide_without_a_sample_ends_with_5_before_any_model_is_opened(site, capsys):
    write_slide(site / "nobody", TYPES, sample_id=None)
    (site / "nobody" / "slide.json").unlink()
    assert run.main([str(site / "nobody"), "--bundle", str(site / "no-bundle")]) == 5
    assert "MDSE-SLIDE-001" in capsys.readouterr().err
    assert run_on(site, "--sample-id-pattern", "(.+)", slide="nobody") == 0
    assert "Sample nobody" in capsys.readouterr().out


def test_an_engine_that_is_not_there_is_never_replaced(site, capsys):
    assert run_on(site, "--engine", "gpu") == 4
    assert "MDSE-ENGINE-001 gpu" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-23T18:00:00"])
def test_a_time_without_an_offset_is_a_usage_error(site, moment):
    with pytest.raises(SystemExit) as caught:
        run_on(site, "--at", moment)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--sample-id-pattern", "[", "is not a regular expression"),
        ("--sample-id-pattern", "A.*", "must have exactly one group"),
        ("--sample-id-pattern", "(A)(.*)", "must have exactly one group"),
        ("--threads", "-3", "is no number from 1 on"),
        ("--threads", "0", "is no number from 1 on"),
        ("--threads", "two", "is no number from 1 on"),
    ],
)
def test_a_value_that_no_slide_could_be_read_with_is_a_usage_error_that_says_why(site, option, value, reason, capsys):
    with pytest.raises(SystemExit) as caught:
        run_on(site, f"{option}={value}")
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert option in said
    assert reason in said


def test_page_and_report_are_in_the_language_that_is_asked_for(site, tmp_path, capsys):
    assert run_on(site, "--language", "ja", "--html", str(tmp_path / "r.html")) == 0
    assert "次に行うこと" in capsys.readouterr().out
    assert '<html lang="ja">' in (tmp_path / "r.html").read_text(encoding="utf-8")


# ---- edge-bench


def bench_on(site, *options):
    known = ["--bundle", str(site / "bundle"), "--public-key", str(site / "key.pem"), "--runs", "2"]
    return bench.main([*known, "--slide", str(site / "A0042_S1"), *options])


def test_the_benchmark_reports_what_it_measured(site, capsys):
    assert bench_on(site, "--json", "--without-limit", "--assert", "p99<600s", "--assert", "images_per_s>0") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["slides"], report["cells"], report["image_px"]) == (2, 21, 32)
    assert (report["engine"], report["precision"], report["simulated"]) == ("openvino-cpu", "fp32", False)
    assert report["slide_s"]["p50"] <= report["slide_s"]["p95"] <= report["slide_s"]["p99"]
    assert set(report["stage_ms"]) == set(
        "read decode resize wait infer findings profile assess explain record render publish".split()
    )
    assert report["machine"]["versions"]["openvino"]


def test_the_benchmark_knows_the_limit_and_draws_and_compares(site, capsys, tmp_path):
    earlier, picture = tmp_path / "earlier.json", tmp_path / "bench.svg"
    assert bench_on(site, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    limit = report["limit"]
    assert limit["fp32_gflops"] > 0
    assert limit["gmac_per_image"] >= 0
    assert limit["engine_images_per_s"] > 0
    assert report["layout"]["copies"] >= 1
    earlier.write_text(json.dumps(report))
    assert bench_on(site, "--without-limit", "--compare", str(earlier), "--picture", str(picture)) == 0
    heard = capsys.readouterr()
    assert "compared with the earlier run" in heard.out
    assert "slide 2 of 2" in heard.err
    assert picture.read_text().startswith("<svg ")


@pytest.mark.parametrize("picture", ["bench.png", "nowhere/bench.svg"])
def test_a_picture_that_could_not_be_written_is_refused_before_anything_is_measured(site, tmp_path, picture, capsys):
    assert bench_on(site, "--picture", str(tmp_path / picture)) == 2
    heard = capsys.readouterr()
    assert "MDSE-BENCH-004" in heard.err
    assert "model ready" not in heard.err


def test_a_claim_that_does_not_hold_ends_with_3(site, capsys):
    assert bench_on(site, "--without-limit", "--assert", "slide_s.p50<0.000001") == 3
    assert "MDSE-BENCH-001" in capsys.readouterr().err


REPORT = {"slide_s": {"p99": 2.0}, "engine": "openvino-cpu", "simulated": True}


@pytest.mark.parametrize("claim", ["slide_s.p99<10", "slide_s.p99<=2", "slide_s.p99>=2.0", " slide_s.p99 > 1 "])
def test_claims_that_hold_pass(claim):
    check_claim(claim, REPORT)


@pytest.mark.parametrize("claim", ["slide_s.p99<2", "slide_s.p99>2", "slide_s.p99>=2.1"])
def test_claims_that_do_not_hold_are_refused(claim):
    with pytest.raises(EdgeError, match="MDSE-BENCH-001"):
        check_claim(claim, REPORT)


@pytest.mark.parametrize(
    "claim", ["", "slide_s<1", "slide_s.p50<1", "engine<1", "simulated<1", "slide_s.p99=1", "slide_s.p99<1.2.3"]
)
def test_what_is_no_claim_is_refused(claim):
    with pytest.raises(EdgeError, match="MDSE-BENCH-002"):
        check_claim(claim, REPORT)


def test_percentiles_are_values_that_were_measured():
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (50, 95, 99)] == [50.0, 95.0, 99.0]
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
