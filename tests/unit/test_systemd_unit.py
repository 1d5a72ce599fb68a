"""The unit: accepted without a word, closed as far as the engine allows, and explained line by line."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config import DEFAULT_CONFIG_PATH, config_from_text
from edge.config_reference import DOCUMENT, SAMPLE, config_document, main, sample_configuration
from edge.config_sections import Config
from edge.daemon.control import listen
from edge.daemon.health import write_metrics

EXPOSURE_TENTHS_MAX = 4
GPU_EXPOSURE_TENTHS_MAX = 6
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture(scope="module")
def unit(repository: Path) -> Path:
    return repository / "systemd" / "mds-edge.service"


@pytest.fixture(scope="module")
def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@needs_systemd
@pytest.mark.case("S9")
def test_systemd_accepts_the_unit_without_a_word(unit: Path, tmp_path: Path) -> None:
    # verify exits 0 on unknown keys and bad values: only its standard error tells.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    outcome = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


@needs_systemd
def test_the_check_sees_an_unknown_key(unit: Path, tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text.replace("ProtectClock=", "ProtectClocks="))
    outcome = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert "ProtectClocks" in outcome.stderr


@needs_systemd
@pytest.mark.case("S9")
def test_the_exposure_is_at_most_the_goal(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS_MAX}"]
    outcome = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout.splitlines()[-1]
    assert outcome.stderr == ""


@needs_systemd
@pytest.mark.case("S9")
def test_the_drop_in_for_a_gpu_is_accepted_and_opens_its_devices_alone(unit: Path, tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    drop_ins = tmp_path / f"{unit.name}.d"
    drop_ins.mkdir()
    shutil.copy(unit.with_name("mds-edge-gpu.conf"), drop_ins / "gpu.conf")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    for limit_tenths, status in ((GPU_EXPOSURE_TENTHS_MAX, 0), (EXPOSURE_TENTHS_MAX - 1, 1)):
        judged = subprocess.run(
            [*security, f"--threshold={limit_tenths}", str(copy)], capture_output=True, text=True, check=False
        )
        assert judged.returncode == status, judged.stdout.splitlines()[-1]
    assert re.search(r"DevicePolicy=.*device allow list|DeviceAllow=.*", judged.stdout)
    assert re.search(r"✗\S* PrivateDevices=", judged.stdout), "the drop-in was read"


def test_systemd_never_gives_up_except_where_a_restart_cannot_help(settings: dict[str, list[str]]) -> None:
    assert settings["Type"] == ["notify"]
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]
    assert settings["RestartPreventExitStatus"] == ["4 78"]
    assert float(settings["WatchdogSec"][0]) >= 10


def test_the_engine_may_write_its_kernels(settings: dict[str, list[str]]) -> None:
    assert "MemoryDenyWriteExecute" not in settings
    assert "ProcSubset" not in settings, "it hides /proc/cpuinfo"


def test_callers_of_the_control_socket_keep_their_names(settings: dict[str, list[str]]) -> None:
    assert "PrivateUsers" not in settings


def test_a_node_exporter_may_read_the_metrics_and_nobody_else_may_connect_to_the_socket(
    settings: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings["RuntimeDirectoryMode"] == ["0755"]
    closed = int(settings["UMask"][0], 8)
    modes: list[int] = []
    plain = Path.chmod

    def chmod(path: Path, mode: int) -> None:
        modes.append(path.stat().st_mode & 0o077)
        plain(path, mode)
        modes.append(path.stat().st_mode & 0o777)

    monkeypatch.setattr(Path, "chmod", chmod)
    monkeypatch.setattr("edge.daemon.health.metrics_text", lambda _: "mds_edge_model_ready 1\n")
    before = os.umask(closed)
    try:
        listen(tmp_path / "s").close()
        write_metrics(tmp_path / "m", {})
    finally:
        os.umask(before)
    assert modes == [0, 0o660, 0, 0o644], "closed to others, then for the group; closed, then for everybody"


@pytest.mark.case("S9")
def test_there_is_no_network_but_unix_sockets(settings: dict[str, list[str]]) -> None:
    assert settings["PrivateNetwork"] == ["yes"]
    assert settings["RestrictAddressFamilies"] == ["AF_UNIX"]


@pytest.mark.case("S10")
def test_the_environment_is_what_the_package_expects(settings: dict[str, list[str]]) -> None:
    import edge  # noqa: F401  importing it sets the two variables

    for name in ("ORT_DISABLE_TELEMETRY", "OPENCV_IO_MAX_IMAGE_PIXELS"):
        assert f"{name}={os.environ[name]}" in settings["Environment"]


@pytest.mark.case("S16")
def test_the_daemon_is_started_isolated_and_its_module_exists(settings: dict[str, list[str]]) -> None:
    words = settings["ExecStart"][0].split()
    assert "-I" in words
    assert importlib.util.find_spec(words[words.index("-m") + 1]) is not None
    assert words[words.index("--config") + 1] == str(DEFAULT_CONFIG_PATH)


def test_nothing_can_be_run_from_a_place_that_can_be_written(settings: dict[str, list[str]]) -> None:
    # Such places are mounts of their own inside the unit, and noexec on "/" does not reach them.
    closed = {path.lstrip("-") for value in settings["NoExecPaths"] for path in value.split()}
    assert {"/", "/var/lib/mds-edge", "/run/mds-edge", "/tmp", "/var/tmp", "/dev/shm"} <= closed
    for name in ("ReadOnlyPaths", "ReadWritePaths"):
        assert {path.lstrip("-") for value in settings[name] for path in value.split()} <= closed


def test_missing_folders_do_not_keep_the_unit_from_starting(settings: dict[str, list[str]]) -> None:
    for name in ("ReadOnlyPaths", "ReadWritePaths"):
        assert all(path.startswith("-") for value in settings[name] for path in value.split())


def test_the_unit_opens_the_folders_that_the_sample_configuration_names(
    settings: dict[str, list[str]], repository: Path
) -> None:
    config = config_from_text((repository / SAMPLE).read_text())
    assert config.site.state_dir == Path("/var/lib") / settings["StateDirectory"][0]
    assert config.health.socket.parent == Path("/run") / settings["RuntimeDirectory"][0]
    assert config.health.metrics_file.parent == config.health.socket.parent
    read_only = [Path(path.lstrip("-")) for path in settings["ReadOnlyPaths"]]
    writable = [Path(path.lstrip("-")) for path in settings["ReadWritePaths"]]
    assert all(any(source.path.is_relative_to(path) for path in read_only) for source in config.sources)
    assert all(any(output.path.is_relative_to(path) for path in writable) for output in config.outputs)


def test_every_hardening_setting_has_a_reason_above_it(unit: Path) -> None:
    """A setting stands below a comment of its own, or below another that shares its reason; headings do not count."""
    section = unit.read_text().split("# ---- who it is", 1)[1].split("[Install]")[0]
    explained = False
    for line in section.splitlines()[1:]:
        if line.startswith("#"):
            explained = not line.startswith("# ----")
        elif not line:
            explained = False
        else:
            assert explained, line


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_service_user_is_made_without_a_login(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    folder = tmp_path / "usr/lib/sysusers.d"
    folder.mkdir(parents=True)
    shutil.copy(repository / "systemd/sysusers.d/mds-edge.conf", folder)
    outcome = subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], capture_output=True, text=True, check=False)
    if "ermission denied" in outcome.stderr:
        pytest.skip("making users in another root is not allowed here")
    assert outcome.returncode == 0, outcome.stderr
    line = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("mds-edge:"))
    assert line.endswith("nologin")


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
def test_the_mount_points_belong_to_root(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nmds-edge:x:1:1::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nmds-edge:x:1:\n")
    folder = tmp_path / "usr/lib/tmpfiles.d"
    folder.mkdir(parents=True)
    shutil.copy(repository / "systemd/tmpfiles.d/mds-edge.conf", folder)
    command = ["systemd-tmpfiles", f"--root={tmp_path}", "--create", "mds-edge.conf"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ermission denied" in outcome.stderr or "not permitted" in outcome.stderr:
        pytest.skip("making folders in another root is not allowed here")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    for name in ("srv/mds-edge/export", "srv/mds-edge/drop"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o755


def test_the_passwords_of_the_shares_stay_roots_alone_at_every_boot(repository: Path) -> None:
    rules = [
        line.split()
        for line in (repository / "systemd/tmpfiles.d/mds-edge.conf").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    for name in re.findall(r"credentials=([^,\s]+)", (repository / "systemd/cifs-mounts.fstab").read_text()):
        if name == "FILE":
            continue
        touching = [tuple(rule[2:5]) for rule in rules if rule[0] == "z" and fnmatch.fnmatch(name, rule[1])]
        assert touching == [("0600", "root", "root")], name


def test_the_service_may_read_its_configuration_and_nobody_else_may_write_it(repository: Path) -> None:
    text = (repository / "systemd/tmpfiles.d/mds-edge.conf").read_text()
    config = config_from_text((repository / SAMPLE).read_text().replace("# public_key", "public_key"))
    for path in (DEFAULT_CONFIG_PATH, config.bundle.public_key):
        assert re.search(rf"^z {re.escape(str(path))} +0640 root mds-edge -$", text, flags=re.MULTILINE), path


def test_the_state_folder_is_there_before_the_first_start_as_the_unit_makes_it(repository: Path) -> None:
    """Without it --check-config before the first start cannot make the folder: /var/lib is root's."""
    text = (repository / "systemd/tmpfiles.d/mds-edge.conf").read_text()
    unit = (repository / "systemd/mds-edge.service").read_text()
    state = config_from_text((repository / SAMPLE).read_text().replace("# public_key", "public_key")).site.state_dir
    mode = re.search(r"^StateDirectoryMode=(\d+)$", unit, flags=re.MULTILINE)
    assert mode is not None
    assert re.search(rf"^d {re.escape(str(state))} +{mode[1]} mds-edge mds-edge -$", text, flags=re.MULTILINE)


def test_the_service_may_read_every_public_key_beside_its_configuration(repository: Path) -> None:
    text = (repository / "systemd/tmpfiles.d/mds-edge.conf").read_text()
    assert re.search(r"^z /etc/mds-edge/\*\.pub\.pem +0640 root mds-edge -$", text, flags=re.MULTILINE)


def test_the_example_of_a_share_closes_its_folders_to_others(repository: Path) -> None:
    lines = [
        line.split()
        for line in (repository / "systemd/cifs-mounts.fstab").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    options = {fields[1]: fields[3].split(",") for fields in lines}
    assert all(len(fields) == 6 for fields in lines)
    assert "ro" in options["/srv/mds-edge/export"]
    assert "dir_mode=0700" in options["/srv/mds-edge/drop"], "else the staging folder is refused"
    assert all({"nofail", "nosuid", "nodev", "noexec", "seal"} <= set(chosen) for chosen in options.values())


# ---- generated files


@pytest.mark.parametrize(("path", "made"), [(DOCUMENT, config_document), (SAMPLE, sample_configuration)])
def test_the_committed_file_is_the_generated_one(repository: Path, path: Path, made) -> None:
    assert (repository / path).read_text() == made(), "run: python -m edge.config_reference"
    assert main(["--check"]) == 0


def test_the_sample_is_valid_as_it_stands_and_with_every_default_switched_on() -> None:
    plain = config_from_text(sample_configuration())
    switched = re.sub(r"^# (\w+ = )", r"\1", sample_configuration(), flags=re.MULTILINE)
    switched = switched.replace('ack = "file-gone"', 'ack = "ack-file"')
    full = config_from_text(switched)
    assert full.limits == plain.limits
    assert full.health == plain.health
    assert full.sources[0].sentinel == ".export_root"


def test_every_key_appears_in_both_files_with_its_meaning() -> None:
    for section, field in Config.model_fields.items():
        name = field.alias or section
        assert f"[{name}]`" in config_document() or f"[[{name}]]`" in config_document()
    keys = re.findall(r"^\| `(\w+)` \|", config_document(), flags=re.MULTILINE)
    assert len(keys) >= 35
    for key in keys:
        assert re.search(rf"^(# )?{key} = ", sample_configuration(), flags=re.MULTILINE), key


@pytest.fixture(scope="module")
def mllp_unit(repository: Path) -> Path:
    return repository / "systemd" / "mds-edge-mllp.service"


@needs_systemd
def test_systemd_accepts_the_unit_for_mllp_without_a_word(mllp_unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / mllp_unit.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", mllp_unit.read_text(), flags=re.MULTILINE))
    outcome = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


@needs_systemd
def test_the_unit_for_mllp_is_exposed_by_its_network_alone(mllp_unit: Path, tmp_path: Path) -> None:
    text = mllp_unit.read_text().replace("AF_INET AF_INET6 AF_UNIX", "AF_UNIX\nPrivateNetwork=yes")
    mllp_unit = tmp_path / mllp_unit.name
    mllp_unit.write_text(text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS_MAX}"]
    outcome = subprocess.run([*command, str(mllp_unit)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout.splitlines()[-1]


def test_the_unit_for_mllp_reaches_nobody_until_the_site_says_whom(mllp_unit: Path) -> None:
    lines = mllp_unit.read_text().splitlines()
    assert "IPAddressDeny=any" in lines
    assert [line for line in lines if line.startswith("IPAddressAllow=")] == ["IPAddressAllow=localhost"]
    # Without this file, which only a site can write, systemd does not start it.
    assert "EnvironmentFile=/etc/mds-edge/mllp.env" in lines


def test_the_options_of_the_unit_for_mllp_are_those_of_the_command(mllp_unit: Path) -> None:
    from edge.commands.mllp import _parser

    line = next(line for line in mllp_unit.read_text().splitlines() if line.startswith("ExecStart="))
    words = line.replace("${MDS_EDGE_MLLP_TO}", "10.0.0.5:2575").split()
    assert words[1:4] == ["-I", "-m", "edge.commands.mllp"]
    assert _parser().parse_args(words[4:]).to == "10.0.0.5:2575"
