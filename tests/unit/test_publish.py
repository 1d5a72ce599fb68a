"""Publishing: whole, once, never over another file, whatever stops it in between."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.delivery import durable, publish, rename
from edge.delivery.publish import (
    Drop,
    is_collected,
    prepare_drop,
    publish_file,
    remove_reappeared_file,
    stage_file,
    staged_state,
    sweep_staging,
    try_drop,
)
from edge.errors import EdgeError

CONTENT = b"MSH|^~\\&|MDSEDGE|LAB\r" + b"OBX|1|NM|x\r" * 500
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
STAGED = "4f2a.hl7"
FINAL = "A0042_S1_r1_20261123T083100Z_9f3c21aa.hl7"


class PowerOffError(BaseException):
    """Stops the process where it stands: no handler for ordinary errors runs."""


@pytest.fixture(autouse=True)
def probe_by_its_own_user() -> Iterator[None]:
    """Publish under a narrow umask, as the unit sets it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    folder = tmp_path / "hl7"
    folder.mkdir()
    return prepare_drop(folder)


def visible_files(drop: Drop) -> list[str]:
    return sorted(path.name for path in drop.folder.iterdir() if path.name != publish.STAGING_NAME)


def code_of(failure: pytest.ExceptionInfo[EdgeError]) -> str:
    return failure.value.code


@pytest.mark.case("L8")
def test_a_staged_file_is_invisible_and_a_published_one_is_whole_and_alone(drop: Drop) -> None:
    stage_file(drop, STAGED, CONTENT)
    assert visible_files(drop) == []
    assert staged_state(drop, STAGED, FINAL) == "staged"
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert visible_files(drop) == [FINAL]
    assert (drop.folder / FINAL).read_bytes() == CONTENT
    assert staged_state(drop, STAGED, FINAL) == "published"


def test_a_published_file_can_be_read_by_the_group_of_the_lis_and_by_nobody_else(drop: Drop) -> None:
    stage_file(drop, STAGED, CONTENT)
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert (drop.folder / FINAL).stat().st_mode & 0o777 == 0o640
    assert drop.staging.stat().st_mode & 0o777 == 0o700


@pytest.mark.case("L2")
def test_a_reader_that_takes_the_file_at_once_leaves_the_state_gone_not_lost(drop: Drop) -> None:
    stage_file(drop, STAGED, CONTENT)
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    (drop.folder / FINAL).unlink()
    assert staged_state(drop, STAGED, FINAL) == "gone"
    assert is_collected(drop, FINAL)


@pytest.mark.case("L7")
@pytest.mark.parametrize("method", ["noreplace", "checked"])
def test_an_existing_file_of_the_final_name_is_never_overwritten(drop: Drop, method: rename.RenameMethod) -> None:
    drop = Drop(drop.folder, drop.staging, drop.identity, method, drop.folder_sync)
    (drop.folder / FINAL).write_bytes(b"foreign")
    stage_file(drop, STAGED, CONTENT)
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-007"
    assert (drop.folder / FINAL).read_bytes() == b"foreign"
    assert staged_state(drop, STAGED, FINAL) == "staged"


@pytest.mark.case("L7")
@pytest.mark.parametrize("method", ["noreplace", "checked"])
def test_a_link_of_the_final_name_is_neither_followed_nor_replaced(
    drop: Drop, tmp_path: Path, method: rename.RenameMethod
) -> None:
    drop = Drop(drop.folder, drop.staging, drop.identity, method, drop.folder_sync)
    (drop.folder / FINAL).symlink_to(tmp_path / "nowhere")
    stage_file(drop, STAGED, CONTENT)
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-007"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.case("D22")
@pytest.mark.parametrize("changed", [CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:], b""])
def test_a_staged_file_that_changed_is_not_published(drop: Drop, changed: bytes) -> None:
    stage_file(drop, STAGED, CONTENT)
    (drop.staging / STAGED).write_bytes(changed)
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-008"
    assert visible_files(drop) == []


def test_a_link_in_place_of_the_staged_file_is_not_published(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (drop.staging / STAGED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-008"


def test_publishing_what_was_never_staged_says_so(drop: Drop) -> None:
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-009"


def test_a_staged_name_is_used_once(drop: Drop) -> None:
    stage_file(drop, STAGED, CONTENT)
    with pytest.raises(EdgeError) as failure:
        stage_file(drop, STAGED, b"other")
    assert code_of(failure) == "MDSE-DELIVERY-006"
    assert (drop.staging / STAGED).read_bytes() == CONTENT


@pytest.mark.case("S4")
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "-rf", "a\nb", "ä", "x" * 121, "a\0b"])
def test_names_that_could_leave_the_folder_are_refused(drop: Drop, name: str) -> None:
    for attempt in (
        lambda: stage_file(drop, name, CONTENT),
        lambda: publish_file(drop, STAGED, name, SHA256, SIZE),
        lambda: staged_state(drop, name, FINAL),
        lambda: is_collected(drop, name),
        lambda: remove_reappeared_file(drop, name, SHA256, SIZE),
    ):
        with pytest.raises(EdgeError) as failure:
            attempt()
        assert code_of(failure) == "MDSE-DELIVERY-010"


# ---- preparing


@pytest.mark.case("D20")
def test_a_missing_drop_folder_is_an_alarm_and_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path / "away" / "hl7")
    assert code_of(failure) == "MDSE-DELIVERY-001"
    assert failure.value.exit_status == 75
    assert not (tmp_path / "away").exists()


@pytest.mark.case("S13")
@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_staging_folder_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / publish.STAGING_NAME).mkdir()
    (tmp_path / publish.STAGING_NAME).chmod(mode)
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path)
    assert code_of(failure) == "MDSE-DELIVERY-002"


@pytest.mark.case("S13")
def test_a_link_in_place_of_the_staging_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "drop" / publish.STAGING_NAME).symlink_to(tmp_path / "other")
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path / "drop")
    assert code_of(failure) == "MDSE-DELIVERY-002"


def test_preparing_again_keeps_the_identity_and_leaves_no_trace(drop: Drop) -> None:
    again = prepare_drop(drop.folder, expected_identity=drop.identity)
    assert again == drop
    assert sorted(path.name for path in drop.staging.iterdir()) == [durable.IDENTITY_NAME]


@pytest.mark.case("D17")
def test_another_folder_mounted_in_place_of_the_drop_is_noticed_at_start(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    prepare_drop(tmp_path / "other")
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path / "other", expected_identity=drop.identity)
    assert code_of(failure) == "MDSE-DELIVERY-005"


@pytest.mark.case("D17")
def test_an_unmounted_drop_is_noticed_at_start_and_gets_no_staging_folder(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "mountpoint").mkdir()
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path / "mountpoint", expected_identity=drop.identity)
    assert code_of(failure) == "MDSE-DELIVERY-001"
    assert list((tmp_path / "mountpoint").iterdir()) == []


@pytest.mark.case("D17")
@pytest.mark.parametrize("replacement", ["empty folder", "another drop", "nothing"])
def test_with_the_share_away_no_file_counts_as_delivered_or_collected(drop: Drop, replacement: str) -> None:
    stage_file(drop, STAGED, CONTENT)
    drop.folder.rename(drop.folder.with_name("the-real-share"))
    if replacement != "nothing":
        drop.folder.mkdir()
    if replacement == "another drop":
        prepare_drop(drop.folder)
    for look in (
        lambda: staged_state(drop, STAGED, FINAL),
        lambda: is_collected(drop, FINAL),
        lambda: publish_file(drop, STAGED, FINAL, SHA256, SIZE),
        lambda: sweep_staging(drop, ()),
    ):
        with pytest.raises(EdgeError) as failure:
            look()
        assert code_of(failure) in {"MDSE-DELIVERY-001", "MDSE-DELIVERY-005"}


def test_an_identity_file_left_empty_by_a_power_cut_is_written_anew(drop: Drop) -> None:
    (drop.staging / durable.IDENTITY_NAME).write_bytes(b"")
    assert len(prepare_drop(drop.folder).identity) == 32


def test_trying_a_new_drop_folder_finds_what_preparing_finds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tried = try_drop(tmp_path)
    assert list(tmp_path.iterdir()) == []
    drop = prepare_drop(tmp_path)
    assert tried == (drop.method, drop.folder_sync)


def test_trying_a_drop_folder_in_use_changes_nothing_in_it(drop: Drop) -> None:
    stage_file(drop, STAGED, CONTENT)
    before = {path.name: path.read_bytes() for path in drop.staging.iterdir()}
    try_drop(drop.folder)
    assert {path.name: path.read_bytes() for path in drop.staging.iterdir()} == before
    assert prepare_drop(drop.folder, expected_identity=drop.identity) == drop


def test_trying_gives_no_identity_to_a_staging_folder_without_one(drop: Drop) -> None:
    (drop.staging / durable.IDENTITY_NAME).unlink()
    try_drop(drop.folder)
    assert list(drop.staging.iterdir()) == []


@pytest.mark.parametrize("failing", ["mkdir", "write", "rename"])
def test_a_trial_that_fails_is_told_as_try_later_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = rename if failing == "rename" else os
    monkeypatch.setattr(place, "rename_without_replacing" if failing == "rename" else failing, refused)
    with pytest.raises(EdgeError) as failure:
        try_drop(tmp_path)
    assert code_of(failure) == "MDSE-DELIVERY-001"
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("D23")
def test_a_file_system_without_the_flag_gets_the_checked_method_and_still_never_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rename, "_renameat2", lambda: None)
    drop = prepare_drop(tmp_path)
    assert drop.method == "checked"
    stage_file(drop, STAGED, CONTENT)
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert (tmp_path / FINAL).read_bytes() == CONTENT


@pytest.mark.case("D23")
def test_a_file_system_that_replaces_although_told_not_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replacing(method: str, old_dir: int, old: str, new_dir: int, new: str) -> None:
        os.replace(old, new, src_dir_fd=old_dir, dst_dir_fd=new_dir)

    monkeypatch.setattr(rename, "rename_without_replacing", replacing)
    with pytest.raises(EdgeError) as failure:
        prepare_drop(tmp_path)
    assert code_of(failure) == "MDSE-DELIVERY-004"


# ---- being stopped


class Stopper:
    """Lets `allowed` system calls of publishing pass and stops the process before or after the next one."""

    def __init__(self, allowed: int, *, after: bool, error: type[BaseException] | OSError = PowerOffError) -> None:
        self.left = allowed
        self.after = after
        self.error = error

    def wrap(self, function):
        def counted(*arguments, **settings):
            self.left -= 1
            if self.left == -1 and not self.after:
                raise self.error
            result = function(*arguments, **settings)
            if self.left == -1:
                raise self.error
            return result

        return counted

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("open", "write", "fsync", "fchmod", "unlink"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        monkeypatch.setattr(publish, "rename_without_replacing", self.wrap(rename.rename_without_replacing))


def deliver(drop: Drop, journal: list[str]) -> None:
    """The daemon's order: stage, record, publish, record."""
    stage_file(drop, STAGED, CONTENT)
    journal.append("STAGED")
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    journal.append("SENT")


def recover(drop: Drop, journal: list[str]) -> None:
    """The daemon's recovery: settle what is STAGED, then sweep, then start what never was staged."""
    drop = prepare_drop(drop.folder, expected_identity=drop.identity)
    if journal == ["STAGED"]:
        if staged_state(drop, STAGED, FINAL) == "staged":
            publish_file(drop, STAGED, FINAL, SHA256, SIZE)
        journal.append("SENT")
    sweep_staging(drop, keep=())
    if not journal:
        deliver(drop, journal)


@pytest.mark.case("D1")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("reader_takes_it", [False, True], ids=["reader idle", "reader quick"])
def test_stopped_at_any_call_the_result_arrives_whole_and_once(
    tmp_path: Path, after: bool, reader_takes_it: bool
) -> None:
    stops = 0
    for point in range(100):
        folder = tmp_path / str(point)
        folder.mkdir()
        drop = prepare_drop(folder)
        journal: list[str] = []
        taken: list[bytes] = []
        with pytest.MonkeyPatch.context() as monkeypatch:
            Stopper(point, after=after).install(monkeypatch)
            try:
                deliver(drop, journal)
                finished = True
            except PowerOffError:
                finished = False
                stops += 1
        if reader_takes_it and (folder / FINAL).exists():
            taken.append((folder / FINAL).read_bytes())
            (folder / FINAL).unlink()
        recover(drop, journal)
        taken += [(folder / name).read_bytes() for name in visible_files(drop)]
        assert taken == [CONTENT], f"stopped at call {point}"
        assert journal == ["STAGED", "SENT"]
        assert sorted(path.name for path in drop.staging.iterdir()) == [durable.IDENTITY_NAME]
        if finished:
            break
    assert finished
    assert stops >= 12, "the calls were not counted"


@pytest.mark.case("D8")
@pytest.mark.parametrize(
    "number", [5, 28, 30, 122, 116, 13], ids=["EIO", "ENOSPC", "EROFS", "EDQUOT", "ESTALE", "EACCES"]
)
def test_an_error_at_any_call_is_told_and_a_later_attempt_delivers_once(tmp_path: Path, number: int) -> None:
    for point in range(100):
        folder = tmp_path / str(point)
        folder.mkdir()
        drop = prepare_drop(folder)
        journal: list[str] = []
        with pytest.MonkeyPatch.context() as monkeypatch:
            Stopper(point, after=False, error=OSError(number, os.strerror(number))).install(monkeypatch)
            failure = None
            try:
                deliver(drop, journal)
            except EdgeError as error:
                failure = error
        if failure is not None:
            assert failure.code == "MDSE-DELIVERY-001"
            assert isinstance(failure.__cause__, OSError)
            assert failure.__cause__.errno == number
        recover(drop, journal)
        assert visible_files(drop) == [FINAL]
        assert (folder / FINAL).read_bytes() == CONTENT
        if failure is None:
            return
    pytest.fail("the delivery never ended")


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_return(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_write, real_rename = os.fsync, os.write, rename.rename_without_replacing
    inodes = {drop.folder.stat().st_ino: "drop", drop.staging.stat().st_ino: "staging"}

    def fsync(descriptor: int) -> None:
        steps.append(f"fsync {inodes.get(os.fstat(descriptor).st_ino, 'file')}")
        real_fsync(descriptor)

    def write(descriptor: int, content: bytes) -> int:
        steps.append("write")
        return real_write(descriptor, content[:3000])

    def renaming(*arguments) -> None:
        steps.append("rename")
        real_rename(*arguments)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(publish, "rename_without_replacing", renaming)
    stage_file(drop, STAGED, CONTENT)
    assert steps == ["write", "write", "fsync file", "fsync staging"]
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert steps[4:] == ["rename", "fsync drop", "fsync staging"]
    assert staged_state(drop, STAGED, FINAL) == "published"
    assert steps[7:] == ["fsync drop", "fsync staging"], "what recovery is told must be on disk"


def test_control_linking_and_unlinking_would_deliver_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why `link` + `unlink` is not our fallback: the same bench that passes the two methods finds its fault."""

    def linking(method: str, old_dir: int, old: str, new_dir: int, new: str) -> None:
        os.link(old, new, src_dir_fd=old_dir, dst_dir_fd=new_dir)
        os.unlink(old, dir_fd=old_dir)

    drop = prepare_drop(tmp_path)
    journal: list[str] = []
    monkeypatch.setattr(publish, "rename_without_replacing", linking)
    stage_file(drop, STAGED, CONTENT)
    journal.append("STAGED")
    with monkeypatch.context() as stopped:
        stopped.setattr(os, "unlink", Stopper(0, after=False).wrap(os.unlink))
        with pytest.raises(PowerOffError):
            publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    (tmp_path / FINAL).unlink()  # the reader has taken it
    recover(drop, journal)
    assert visible_files(drop) == [FINAL], "the control no longer shows the fault"


SCRIPT = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edge.delivery.publish import prepare_drop, publish_file, stage_file
drop = prepare_drop(Path(sys.argv[1]))
content = b"whole" * 1000
stage_file(drop, "staged", content)
publish_file(drop, "staged", "final.hl7", hashlib.sha256(content).hexdigest(), len(content))
"""


@pytest.mark.case("L1")
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_killed_for_real_at_any_call_the_reader_never_sees_part_of_a_file(tmp_path: Path, repository: Path) -> None:
    kills = 0
    for call in ("mkdirat,mkdir", "fsync", "renameat2", "write", "fchmod", "unlinkat"):
        for when in range(1, 20):
            folder = tmp_path / f"{call[:6]}{when}"
            folder.mkdir()
            command = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}"]
            script = [sys.executable, "-S", "-E", "-c", SCRIPT, str(folder), str(repository)]
            outcome = subprocess.run(command + script, capture_output=True, timeout=60, check=False)
            if outcome.returncode == 0:
                break
            if b"ptrace" in outcome.stderr.lower() and b"not permitted" in outcome.stderr.lower():
                pytest.skip("this machine does not allow tracing")
            kills += 1
            seen = [path for path in folder.iterdir() if path.name != publish.STAGING_NAME]
            assert all(path.name == "final.hl7" and path.read_bytes() == b"whole" * 1000 for path in seen)
    assert kills >= 10


# ---- limits of the machine


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where root may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=12", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.case("D2")
def test_a_full_drop_folder_leaves_nothing_behind_and_works_again_when_there_is_room(small_file_system: Path) -> None:
    drop = prepare_drop(small_file_system)
    filler = small_file_system / "filler"
    filler.write_bytes(b"x" * 56_000)
    with pytest.raises(EdgeError) as failure:
        stage_file(drop, STAGED, b"y" * 20_000)
    assert code_of(failure) == "MDSE-DELIVERY-001"
    assert sorted(path.name for path in drop.staging.iterdir()) == [durable.IDENTITY_NAME]
    filler.unlink()
    stage_file(drop, STAGED, CONTENT)
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert (small_file_system / FINAL).read_bytes() == CONTENT


@pytest.mark.case("D6")
def test_a_drop_folder_without_inodes_is_as_full(small_file_system: Path) -> None:
    drop = prepare_drop(small_file_system)
    fillers = []
    try:
        for number in range(20):
            filler = small_file_system / f"f{number}"
            filler.touch(exist_ok=False)
            fillers.append(filler)
    except OSError:
        pass
    assert len(fillers) < 20
    with pytest.raises(EdgeError) as failure:
        stage_file(drop, STAGED, b"")
    assert code_of(failure) == "MDSE-DELIVERY-001"


@pytest.mark.case("D19")
def test_a_staging_folder_on_another_file_system_is_refused(small_file_system: Path, tmp_path: Path) -> None:
    drop_folder = tmp_path / "drop"
    staging = drop_folder / publish.STAGING_NAME
    staging.mkdir(parents=True, mode=0o700)
    subprocess.run(["mount", "--bind", str(small_file_system), str(staging)], check=True)
    staging.chmod(0o700)
    try:
        with pytest.raises(EdgeError) as failure:
            prepare_drop(drop_folder)
    finally:
        subprocess.run(["umount", "-l", str(staging)], check=True)
    assert code_of(failure) == "MDSE-DELIVERY-003"


@pytest.mark.case("D19")
def test_a_staging_folder_mounted_over_while_running_publishes_nothing(drop: Drop, small_file_system: Path) -> None:
    stage_file(drop, STAGED, CONTENT)
    other = small_file_system
    for name in (STAGED, durable.IDENTITY_NAME):
        (other / name).write_bytes((drop.staging / name).read_bytes())
    subprocess.run(["mount", "--bind", str(other), str(drop.staging)], check=True)
    try:
        with pytest.raises(EdgeError) as failure:
            publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    finally:
        subprocess.run(["umount", "-l", str(drop.staging)], check=True)
    assert code_of(failure) == "MDSE-DELIVERY-001"
    assert visible_files(drop) == []


@pytest.mark.case("D10")
def test_a_drop_folder_remounted_read_only_is_told_as_try_later(small_file_system: Path) -> None:
    drop = prepare_drop(small_file_system)
    stage_file(drop, STAGED, CONTENT)
    subprocess.run(["mount", "-o", "remount,ro", str(small_file_system)], check=True)
    with pytest.raises(EdgeError) as failure:
        publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert code_of(failure) == "MDSE-DELIVERY-001"
    subprocess.run(["mount", "-o", "remount,rw", str(small_file_system)], check=True)
    publish_file(drop, STAGED, FINAL, SHA256, SIZE)
    assert (small_file_system / FINAL).read_bytes() == CONTENT


# ---- tidying


def test_sweeping_removes_what_nothing_names_and_never_follows_a_link(drop: Drop, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    stage_file(drop, "named", CONTENT)
    stage_file(drop, "orphan", CONTENT)
    (drop.staging / "link").symlink_to(precious)
    assert sweep_staging(drop, keep={"named"}) == ("link", "orphan")
    assert precious.read_bytes() == b"keep me"
    assert sorted(path.name for path in drop.staging.iterdir()) == [durable.IDENTITY_NAME, "named"]


@pytest.mark.case("L9")
def test_a_collected_file_that_reappears_is_removed_only_when_it_is_ours_to_the_byte(drop: Drop) -> None:
    final = drop.folder / FINAL
    assert not remove_reappeared_file(drop, FINAL, SHA256, SIZE)
    final.write_bytes(CONTENT[:-1] + b"!")
    assert not remove_reappeared_file(drop, FINAL, SHA256, SIZE)
    assert final.exists()
    final.write_bytes(CONTENT)
    assert remove_reappeared_file(drop, FINAL, SHA256, SIZE)
    assert not final.exists()
