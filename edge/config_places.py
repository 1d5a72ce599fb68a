"""What only the machine can tell about the folders of a configuration: links, mounts, owners. Never hangs.

    check_places(config)     at start, after `load_config`: one EdgeError (MDSE-CONFIG-006) that lists every fault

Two names may lead to one folder, through a link or a bind mount; the journal must lie on a local disk; nobody else may
write into the state folder. A share may be away or hang, so nothing on one is ever touched here: the kernel's own list
of mounts says where shares begin, and links are followed on local file systems only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from edge.config_relations import dotted_from_location, folders_overlap, places_of_config
from edge.config_sections import Config
from edge.errors import EdgeError

# SQLite's locks and fsync mean what they say on local disks only.
NETWORK_FILE_SYSTEMS = frozenset("cifs smb3 smbfs nfs nfs4 9p afs ceph glusterfs lustre ncpfs virtiofs".split())
# As many links as the kernel follows in one path (path_resolution(7)).
_LINKS_MAX = 40


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of `/proc/self/mountinfo`: where it is mounted, what it is, and which part of which device it shows."""

    point: Path
    file_system: str
    device: str
    root: Path

    @property
    def is_share(self) -> bool:
        """Whether touching it may wait for another machine (FUSE counts: most of it leads to one)."""
        return self.file_system in NETWORK_FILE_SYSTEMS or self.file_system.startswith("fuse")


def check_places(config: Config, *, mounts: tuple[Mount, ...] | None = None) -> None:
    """Compare the configured folders as the machine has them.

    Raises:
        EdgeError: MDSE-CONFIG-006 with every fault.
    """
    known = mounts if mounts is not None else mounts_of_this_process()
    faults = [*_folders_that_are_one(config, known), *_state_folder_faults(config.site.state_dir, known)]
    if faults:
        raise EdgeError("MDSE-CONFIG-006", where="configuration", faults=" | ".join(faults))


def mounts_of_this_process() -> tuple[Mount, ...]:
    """Return the mounts as this process sees them, in the kernel's order (a later one hides an earlier)."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return mounts_from_mountinfo(text)


def mounts_from_mountinfo(text: str) -> tuple[Mount, ...]:
    """Read the text of mountinfo (proc(5)); lines of an unknown form are passed over."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 9 or "-" not in fields[6:]:
            continue
        file_system = fields[fields.index("-", 6) + 1]
        mounts.append(Mount(Path(_unescaped(fields[4])), file_system, fields[2], Path(_unescaped(fields[3]))))
    return tuple(mounts)


def mount_of(path: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that holds the path, by names alone: the longest mount point, of equal ones the latest."""
    holding = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(enumerate(holding), key=lambda pair: (len(pair[1].point.parts), pair[0]))[1] if holding else None


def resolved_path(path: Path, mounts: tuple[Mount, ...]) -> Path:
    """Return the path with its links followed, as far as it can be walked without touching a share.

    A folder that does not exist resolves to itself.
    """
    links_left = _LINKS_MAX
    waiting = list(path.parts[1:])
    reached = Path("/")
    while waiting:
        step = reached / waiting.pop(0)
        mount = mount_of(step, mounts)
        if mount is not None and mount.is_share:
            return step.joinpath(*waiting)
        try:
            target = step.readlink()
        except OSError:
            # Not a link, not there, or not ours to look at: the name stands for itself.
            reached = Path(os.path.normpath(step))
            continue
        links_left -= 1
        if links_left < 0:
            return path
        waiting = [*target.parts[1 if target.is_absolute() else 0 :], *waiting]
        reached = Path("/") if target.is_absolute() else reached
    return reached


def _folders_that_are_one(config: Config, mounts: tuple[Mount, ...]) -> Iterator[str]:
    for (first_location, first), (location, path) in combinations(places_of_config(config), 2):
        if {first_location, location} == {("site", "state_dir"), ("bundle", "path")}:
            continue
        one, other = _true_place(first, mounts), _true_place(path, mounts)
        if one[0] == other[0] and folders_overlap(one[1], other[1]):
            name, first_name = dotted_from_location(location), dotted_from_location(first_location)
            yield f"{name}: ({path}) and {first_name} ({first}) meet on disk, through a link or a mount"


def _true_place(path: Path, mounts: tuple[Mount, ...]) -> tuple[str, Path]:
    """Return the device and the path on it: two names of one folder have the same, whatever is bound where."""
    resolved = resolved_path(path, mounts)
    mount = mount_of(resolved, mounts)
    if mount is None:
        return "", resolved
    return mount.device, mount.root / resolved.relative_to(mount.point)


def _state_folder_faults(state_dir: Path, mounts: tuple[Mount, ...]) -> Iterator[str]:
    resolved = resolved_path(state_dir, mounts)
    mount = mount_of(resolved, mounts)
    if mount is not None and mount.is_share:
        yield f"site.state_dir: ({state_dir}) lies on a share ({mount.file_system}); the journal needs a local disk"
        return
    try:
        facts = resolved.lstat()
    except OSError:
        return  # not made yet; making it is the daemon's first deed, and fails with its own words
    if not stat.S_ISDIR(facts.st_mode):
        yield f"site.state_dir: ({state_dir}) is not a folder"
    elif facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        yield f"site.state_dir: ({state_dir}) is not ours alone to write (mode {mode}, owner {facts.st_uid})"


def _unescaped(text: str) -> str:
    """The kernel writes blank, tab, line feed and backslash as octal numbers."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text
