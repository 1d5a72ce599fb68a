"""The configuration: every fault is named with its key and line, and nothing doubtful starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.config import Config, config_digest, config_from_text, load_config
from edge.config_lines import line_of_location
from edge.errors import EdgeError

GOOD = """\
[site]
id = "HEMLAB"
timezone = "Asia/Tokyo"

[bundle]
path = "/opt/mds-edge/bundle"

[[source]]
id = "di60"
path = "/srv/di60-export"

[[output]]
format = "hl7"
path = "/srv/lis-drop/hl7"
ack = "file-gone"
"""


def faults_of(text: str) -> str:
    with pytest.raises(EdgeError) as failure:
        config_from_text(text)
    assert failure.value.code == "MDSE-CONFIG-003"
    assert failure.value.exit_status == 78
    return failure.value.facts["faults"]


def with_line(after: str, line: str) -> str:
    assert GOOD.count(after) == 1
    return GOOD.replace(after, f"{after}\n{line}")


def test_the_least_a_site_must_say_is_enough_and_the_rest_has_defaults() -> None:
    config = config_from_text(GOOD)
    assert config.site.state_dir == Path("/var/lib/mds-edge")
    assert config.engine.device == "cpu"
    assert config.sources[0].quiet_s == 30.0
    assert config.sources[0].late_policy == "hold"
    assert config.outputs[0].pickup_max_s == 900.0
    assert config.outputs[0].ack_folder == Path("/srv/lis-drop/ack")
    assert config.limits.attempts == 3
    assert not config.assess.assess_all
    assert not config.bundle.allow_demo


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    config = config_from_text(GOOD)
    with pytest.raises(ValidationError):
        config.site.id = "OTHER"
    assert isinstance(config.sources, tuple)
    assert isinstance(config.sources[0].marker, tuple)


@pytest.mark.case("G1")
def test_all_faults_are_told_at_once_each_with_its_key_and_line() -> None:
    text = GOOD.replace('path = "/srv/di60-export"', 'path = "srv"\nquiet = 30\nscan_s = "5"\nmarker = ["ok", "a/b"]')
    text += '[limits]\nattempts = 0\n[[source]]\nid = "DI60"\npath = "/srv/lis-drop"\n'
    faults = faults_of(text)
    for expected in (
        "line 10, source[1].path: must be an absolute path",
        "line 11, source[1].quiet: is not a known key; did you mean quiet_s?",
        "line 12, source[1].scan_s: input should be a valid number, not '5'",
        "line 13, source[1].marker[2]: must be a plain file name",
        "line 20, limits.attempts: input should be greater than or equal to 1, not 0",
    ):
        assert expected in faults
    assert faults.count(" | ") == 4


@pytest.mark.case("G1")
@pytest.mark.parametrize("table", [name for name in Config.model_fields if name not in ("sources", "outputs")])
def test_a_misspelt_key_of_any_table_is_told_with_the_key_that_was_meant(table: str) -> None:
    key = next(iter(Config.model_fields[table].annotation.model_fields))
    text = GOOD if f"[{table}]" in GOOD else f"{GOOD}[{table}]\n"
    assert f"{table}.{key}x: is not a known key; did you mean {key}?" in faults_of(
        text.replace(f"[{table}]\n", f"[{table}]\n{key}x = 1\n")
    )


@pytest.mark.case("G1")
def test_broken_relations_are_told_together_with_broken_values() -> None:
    text = GOOD + '[[source]]\nid = "DI60"\npath = "/srv/other"\n[limits]\nattempts = 0\n'
    faults = faults_of(text)
    assert "line 17, source[2].id: is also the id of source[1]" in faults
    assert "line 20, limits.attempts" in faults


@pytest.mark.case("G1")
@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ('id = "HEMLAB"\n', "line 1, site.id: is missing"),
        ('timezone = "Asia/Tokyo"\n', "line 1, site.timezone: is missing"),
        ('path = "/opt/mds-edge/bundle"\n', "line 5, bundle.path: is missing"),
        ('id = "di60"\n', "line 8, source[1].id: is missing"),
        ('path = "/srv/di60-export"\n', "line 8, source[1].path: is missing"),
        ('ack = "file-gone"\n', "line 12, output[1].ack: is missing"),
    ],
)
def test_a_missing_key_is_told_with_the_line_of_its_table(removed: str, expected: str) -> None:
    assert GOOD.count(removed) == 1
    assert expected in faults_of(GOOD.replace(removed, ""))


@pytest.mark.case("G1")
@pytest.mark.parametrize(
    "text", ["", "source = 3", "[site]\n", "[[site]]\nid = 1", "source = [1]", "[source]\nid = 'x'"]
)
def test_missing_or_misshapen_sections_are_faults_not_crashes(text: str) -> None:
    assert faults_of(text)


@pytest.mark.case("G3")
@pytest.mark.parametrize(
    ("after", "line"),
    [
        ('path = "/srv/di60-export"', "quiet_s = 0"),
        ('path = "/srv/di60-export"', "quiet_s = nan"),
        ('path = "/srv/di60-export"', "quiet_s = inf"),
        ('path = "/srv/di60-export"', "quiet_s = true"),
        ('path = "/srv/di60-export"', "quiet_s = 3601"),
        ('path = "/srv/di60-export"', "scan_s = 0"),
        ('path = "/srv/di60-export"', "scan_s = 31"),
        ('path = "/srv/di60-export"', "max_wait_s = 30"),
        ('path = "/srv/di60-export"', "marker_required = 1"),
        ('path = "/srv/di60-export"', "marker_required = true\nmarker = []"),
        ('path = "/srv/di60-export"', 'marker = "done"'),
        ('path = "/srv/di60-export"', 'marker = [".."]'),
        ('path = "/srv/di60-export"', 'sentinel = "a/b"'),
        ('path = "/srv/di60-export"', 'late_policy = "send"'),
        ('path = "/srv/di60-export"', 'sample_id_pattern = "("'),
        ('path = "/srv/di60-export"', 'sample_id_pattern = "[0-9]+"'),
        ('path = "/srv/di60-export"', 'sample_id_pattern = "(a)(b)"'),
        ('path = "/srv/di60-export"', 'sample_id_pattern = "(?P<patient>[0-9]+)"'),
        ('path = "/srv/di60-export"', f'control_pattern = "{"Q" * 201}"'),
        ('path = "/opt/mds-edge/bundle"', 'allow_demo = "yes"'),
        ('path = "/opt/mds-edge/bundle"', 'public_key = "key.pem"'),
        ('timezone = "Asia/Tokyo"', 'name = "two\\nlines"'),
        ('timezone = "Asia/Tokyo"', 'state_dir = "/var/lib/../etc"'),
        ('ack = "file-gone"', "pickup_max_s = -1"),
        ('ack = "file-gone"', "[limits]\nunreadable_fraction = 2.0"),
        ('ack = "file-gone"', "[limits]\ncell_side_px = 5000"),
        ('ack = "file-gone"', "[limits]\ncell_side_px = 300.5"),
        ('ack = "file-gone"', "[limits]\nmin_free_bytes = 0"),
        ('ack = "file-gone"', "[limits]\nworker_budget_s = 0"),
        ('ack = "file-gone"', "[retention]\ndays = -1"),
        ('ack = "file-gone"', "[engine]\nthreads = 0"),
        ('ack = "file-gone"', '[engine]\ndevice = "tpu"'),
        ('ack = "file-gone"', f'[health]\nsocket = "/run/{"x" * 120}"'),
        ('ack = "file-gone"', '[health]\nsocket = "/run/a"\nmetrics_file = "/run/a"'),
    ],
)
def test_a_value_out_of_its_range_is_refused_at_its_line(after: str, line: str) -> None:
    text = with_line(after, line)
    key = line.split("\n")[-1].split(" =")[0]
    number = next(n for n, content in enumerate(text.splitlines(), 1) if content.startswith(f"{key} ="))
    faults = faults_of(text)
    assert faults.startswith("line ")
    assert key in faults or "marker_required" in faults
    assert f"line {number}, " in faults or "marker_required" in faults


def test_the_sample_ids_of_control_material_are_named_by_a_regular_expression_that_needs_no_group() -> None:
    config = config_from_text(with_line('path = "/srv/di60-export"', 'control_pattern = "QC[0-9]+|XN-L[123]"'))
    assert config.sources[0].control_pattern == "QC[0-9]+|XN-L[123]"


@pytest.mark.parametrize(
    ("pattern", "expected"), [("(", "is not a regular expression"), ("", "empty text"), (".*", "empty text")]
)
def test_a_control_pattern_that_cannot_name_control_material_is_refused_with_the_reason(
    pattern: str, expected: str
) -> None:
    faults = faults_of(with_line('path = "/srv/di60-export"', f'control_pattern = "{pattern}"'))
    assert "source[1].control_pattern" in faults
    assert expected in faults


@pytest.mark.parametrize("zone", ["JST+9:00", "Asia/Tokio", "", "../../etc/passwd", "/etc/localtime"])
def test_a_time_zone_that_is_not_known_is_refused(zone: str) -> None:
    assert "site.timezone: is not a time zone" in faults_of(GOOD.replace("Asia/Tokyo", zone))


@pytest.mark.parametrize("site", ["", "a b", "x" * 21, "LAB|X", "ä"])
def test_a_site_id_that_would_not_fit_into_a_message_is_refused(site: str) -> None:
    assert "site.id" in faults_of(GOOD.replace("HEMLAB", site))


@pytest.mark.case("G2")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/srv/lis-drop/hl7", "/srv/di60-export"),
        ("/srv/lis-drop/hl7", "/srv/di60-export/results"),
        ("/srv/lis-drop/hl7", "/srv"),
        ("/srv/lis-drop/hl7", "/srv/di60-export/"),
        ("/srv/lis-drop/hl7", "//srv/di60-export/./x"),
        ("/srv/lis-drop/hl7", "/var/lib/mds-edge/drop"),
        ("/srv/lis-drop/hl7", "/"),
        ("/srv/di60-export", "/var/lib/mds-edge"),
        ("/srv/di60-export", "/var/lib"),
        ("/opt/mds-edge/bundle", "/srv/lis-drop/hl7/bundle"),
        ("/opt/mds-edge/bundle", "/srv/di60-export/bundle"),
    ],
)
def test_export_drop_state_and_bundle_folders_must_not_meet(old: str, new: str) -> None:
    assert "must be separate folders" in faults_of(GOOD.replace(old, new))


def test_folders_whose_names_merely_begin_alike_are_separate() -> None:
    config_from_text(GOOD.replace("/srv/lis-drop/hl7", "/srv/di60-export-results"))


def test_a_bundle_may_lie_in_the_state_folder() -> None:
    config_from_text(GOOD.replace("/opt/mds-edge/bundle", "/var/lib/mds-edge/bundle"))
    assert "separate" in faults_of(GOOD.replace("/opt/mds-edge/bundle", "/var/lib/mds-edge"))


def second_output(kind: str, path: str, ack: str, ack_path: str = "") -> str:
    tail = f'ack_path = "{ack_path}"\n' if ack_path else ""
    return f'\n[[output]]\nformat = "{kind}"\npath = "{path}"\nack = "{ack}"\n{tail}'


@pytest.mark.parametrize("path", ["/srv/lis-drop/hl7", "/srv/lis-drop/hl7/json", "/srv/lis-drop"])
def test_two_outputs_never_share_a_folder(path: str) -> None:
    assert "output[2].path" in faults_of(GOOD + second_output("json", path, "none"))


def test_two_outputs_never_share_an_acknowledgement_folder() -> None:
    first = GOOD.replace('"file-gone"', '"ack-file"')
    assert "output[2].ack: is also" in faults_of(first + second_output("hl7", "/srv/lis-drop/b", "ack-file"))
    config_from_text(first + second_output("hl7", "/srv/lis-drop/b", "ack-file", "/srv/lis-drop/ack-b"))


@pytest.mark.parametrize(
    "ack_path", ["/srv/lis-drop/hl7", "/srv/lis-drop/hl7/ack", "/srv/di60-export/ack", "/var/lib/mds-edge/a"]
)
def test_an_acknowledgement_folder_is_a_folder_of_its_own(ack_path: str) -> None:
    text = GOOD.replace('"file-gone"', f'"ack-file"\nack_path = "{ack_path}"')
    assert "output[1].ack_path" in faults_of(text)


def test_an_acknowledgement_folder_without_acknowledgement_files_is_a_mistake() -> None:
    assert "has no meaning" in faults_of(with_line('ack = "file-gone"', 'ack_path = "/srv/ack"'))


def test_acknowledgement_files_need_a_format_with_a_message_id() -> None:
    assert "only format" in faults_of(GOOD + second_output("json", "/srv/json", "ack-file"))


def test_socket_metrics_and_key_must_not_lie_where_others_write() -> None:
    assert "health.socket" in faults_of(GOOD + '[health]\nsocket = "/srv/di60-export/s"\n')
    assert "health.metrics_file" in faults_of(GOOD + '[health]\nmetrics_file = "/srv/lis-drop/hl7/m"\n')
    assert "bundle.public_key" in faults_of(
        with_line('path = "/opt/mds-edge/bundle"', 'public_key = "/srv/di60-export/k"')
    )


@pytest.mark.case("G7")
@pytest.mark.parametrize("other", ["di60", "DI60"])
def test_two_sources_never_share_an_id(other: str) -> None:
    faults = faults_of(GOOD + f'[[source]]\nid = "{other}"\npath = "/srv/b"\n')
    assert "source[2].id: is also the id of source[1]" in faults


def test_the_lines_of_later_tables_are_right_behind_long_strings_and_lists() -> None:
    text = GOOD.replace(
        'path = "/srv/di60-export"',
        'path = "/srv/di60-export"\nmarker = [\n  "a",  # ] not the end\n  "b",\n]\n'
        'sample_id_pattern = """(x\n[y]\n)"""',
    )
    faults = faults_of(text.replace('"file-gone"', '"maybe"'))
    number = next(n for n, content in enumerate(text.splitlines(), 1) if content.startswith("ack ="))
    assert f"line {number}, output[1].ack" in faults


def test_what_looks_like_a_table_inside_a_list_or_a_string_is_none() -> None:
    text = 'a = [\n["site"],\n]\nb = """\n[site]\nid = 1\n"""\n[site]\nid = 2\n'
    assert line_of_location(text) == {("a",): 1, ("b",): 4, ("site",): 8, ("site", "id"): 9}


def test_the_digest_follows_the_effective_values_not_the_text() -> None:
    plain = config_digest(config_from_text(GOOD))
    assert plain == config_digest(
        config_from_text("# a comment\n" + with_line('path = "/srv/di60-export"', "quiet_s = 30"))
    )
    assert plain != config_digest(config_from_text(with_line('path = "/srv/di60-export"', "quiet_s = 31")))


# ---- the file


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "mds-edge.toml"
    path.write_text(GOOD)
    path.chmod(0o640)
    return path


def refusal(path: Path) -> EdgeError:
    with pytest.raises(EdgeError) as failure:
        load_config(path)
    assert failure.value.exit_status == 78
    return failure.value


def test_a_file_is_loaded(config_file: Path) -> None:
    assert isinstance(load_config(config_file), Config)


def test_a_missing_file_and_a_file_that_is_not_toml_are_told_apart(config_file: Path) -> None:
    assert refusal(config_file.with_name("none")).code == "MDSE-CONFIG-001"
    config_file.write_text("[site\n")
    error = refusal(config_file)
    assert error.code == "MDSE-CONFIG-002"
    assert "line 1" in str(error)
    config_file.write_bytes(b"\xff")
    assert refusal(config_file).code == "MDSE-CONFIG-002"


@pytest.mark.case("G5")
@pytest.mark.parametrize("mode", [0o646, 0o666, 0o602])
def test_a_file_that_everyone_may_write_is_refused(config_file: Path, mode: int) -> None:
    config_file.chmod(mode)
    assert refusal(config_file).code == "MDSE-CONFIG-004"


@pytest.mark.case("G5")
@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_file_of_somebody_else_is_refused(config_file: Path) -> None:
    os.chown(config_file, 12345, 12345)
    assert refusal(config_file).code == "MDSE-CONFIG-004"


@pytest.mark.case("G6")
def test_a_link_a_folder_and_a_pipe_are_refused_without_waiting(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(config_file)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        assert refusal(tmp_path / name).code == "MDSE-CONFIG-005"


def test_a_file_without_end_is_refused(config_file: Path) -> None:
    with config_file.open("r+b") as file:
        file.truncate(1 << 30)
    assert refusal(config_file).code == "MDSE-CONFIG-001"


def test_senaites_index_is_not_for_hl7() -> None:
    assert "imports no HL7" in faults_of(GOOD.replace('"file-gone"', '"senaite-index"'))
    config_from_text(GOOD + second_output("json", "/srv/csv", "senaite-index"))
