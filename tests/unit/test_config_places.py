"""Folders as the machine has them: links and mounts are seen through, and no share is ever touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edge.config import Config, config_from_text
from edge.config_places import (
    Mount,
    check_places,
    mount_of,
    mounts_from_mountinfo,
    mounts_of_this_process,
    resolved_path,
)
from edge.errors import EdgeError

LOCAL = Mount(Path("/"), "ext4", "8:1", Path("/"))


def config_at(root: Path, *, state: str = "state", export: str = "export", drop: str = "drop") -> Config:
    return config_from_text(
        f'''
        [site]
        id = "LAB"
        timezone = "UTC"
        state_dir = "{root / state}"
        [bundle]
        path = "/opt/bundle"
        [[source]]
        id = "di60"
        path = "{root / export}"
        [[output]]
        format = "hl7"
        path = "{root / drop}"
        ack = "none"
        '''
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("state", "export", "drop"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


def faults_of(config: Config, mounts: tuple[Mount, ...] | None = None) -> str:
    with pytest.raises(EdgeError) as failure:
        check_places(config, mounts=mounts)
    assert failure.value.code == "MDSE-CONFIG-006"
    assert failure.value.exit_status == 78
    return failure.value.facts["faults"]


def test_separate_folders_of_ours_are_fine(root: Path) -> None:
    check_places(config_at(root))


def test_folders_that_do_not_exist_yet_are_fine(tmp_path: Path) -> None:
    check_places(config_at(tmp_path))


@pytest.mark.case("G2")
@pytest.mark.parametrize("target", ["export", "export/inner", "state"])
def test_a_link_that_leads_the_drop_into_another_folder_is_seen(root: Path, target: str) -> None:
    (root / target).mkdir(exist_ok=True)
    (root / "drop").rmdir()
    (root / "drop").symlink_to(root / target)
    assert "output[1].path" in faults_of(config_at(root))


@pytest.mark.case("G2")
def test_a_relative_link_above_the_folder_is_seen(root: Path) -> None:
    (root / "deep").mkdir()
    (root / "deep" / "way").symlink_to("../export")
    assert "meet on disk" in faults_of(config_at(root, drop="deep/way/results"))


def test_links_that_lead_in_a_circle_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert resolved_path(root / "a" / "x", (LOCAL,)) == root / "a" / "x"


@pytest.mark.case("G2")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_bind_mount_that_shows_the_export_as_drop_is_seen(root: Path) -> None:
    bound = subprocess.run(["mount", "--bind", str(root / "export"), str(root / "drop")], check=False)
    if bound.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        assert "meet on disk" in faults_of(config_at(root))
    finally:
        subprocess.run(["umount", "-l", str(root / "drop")], check=True)


@pytest.mark.case("G2")
@pytest.mark.parametrize("file_system", ["cifs", "nfs4", "fuse.sshfs"])
def test_a_state_folder_on_a_share_is_refused(root: Path, file_system: str) -> None:
    share = Mount(root / "state", file_system, "0:99", Path("/"))
    assert "lies on a share" in faults_of(config_at(root), (LOCAL, share))


@pytest.mark.case("G5")
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_state_folder_that_others_may_write_is_refused(root: Path, mode: int) -> None:
    (root / "state").chmod(mode)
    assert f"mode {mode:04o}" in faults_of(config_at(root))


def test_a_file_in_place_of_the_state_folder_is_refused(root: Path) -> None:
    (root / "state").rmdir()
    (root / "state").touch()
    assert "is not a folder" in faults_of(config_at(root))


@pytest.mark.case("D15")
def test_nothing_on_a_share_is_touched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = tuple(Mount(root / name, "cifs", f"0:{n}", Path("/")) for n, name in enumerate(("export", "drop")))
    touched: list[str] = []
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path: touched.append(str(path)) or real(path))
    check_places(config_at(root, export="export/a/b", drop="drop/c"), mounts=(LOCAL, *shares))
    assert touched
    assert not [path for path in touched if path.startswith((str(root / "export"), str(root / "drop")))]


def test_the_lists_of_the_kernel_are_read_with_their_escapes_and_optional_fields() -> None:
    text = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:50 /sub /srv/my\\040share rw,relatime shared:2 master:3 - cifs //server/share rw\n"
        "nonsense\n"
    )
    mounts = mounts_from_mountinfo(text)
    assert mounts == (LOCAL, Mount(Path("/srv/my share"), "cifs", "0:50", Path("/sub")))
    assert mount_of(Path("/srv/my share/x"), mounts) == mounts[1]
    assert mount_of(Path("/srv/my shareholder"), mounts) == mounts[0]


def test_this_machine_has_a_root_mount() -> None:
    assert mount_of(Path("/"), mounts_of_this_process()) is not None
