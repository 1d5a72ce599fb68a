"""A machine of its own with a real systemd: a container over this machine's root, in which mds-edge is installed.

Nothing of the host is changed: its root is the lower half of an overlay, what is written goes to a tmpfs. The product
lies where the unit expects it (/opt/mds-edge), from read-only binds of this Python, its packages and this repository.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fault.site import REPOSITORY

UNIT = "mds-edge.service"
MASKED = (
    "systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-resolved.service "
    "systemd-networkd.service systemd-timesyncd.service getty.target console-getty.service systemd-logind.service "
    "apt-daily.timer apt-daily-upgrade.timer fstrim.timer man-db.timer dpkg-db-backup.timer e2scrub_all.timer "
    "e2scrub_reap.service systemd-tmpfiles-clean.timer"
).split()
CONFIG = """\
[site]
id = "HEMLAB"
timezone = "Asia/Tokyo"
[bundle]
path = "/opt/mds-edge/source/edge/demo/bundle"
public_key = "/etc/mds-edge/bundle.pub.pem"
allow_demo = true
[engine]
threads = 2
[[source]]
id = "di60"
path = "/srv/mds-edge/export"
quiet_s = 1
scan_s = 1
[[output]]
format = "json"
path = "/srv/mds-edge/drop/json"
ack = "none"
[limits]
min_free_bytes = 1048576
"""
BOOT_S = 60.0


def missing_for_container() -> str:
    """Return why no container with systemd can be booted here; "" where it can."""
    if os.geteuid() != 0:
        return "booting a container needs root"
    for program in ("systemd-nspawn", "nsenter", "systemctl"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: systemd-container, util-linux, systemd)"
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this machine does not let us mount"


class Container:
    """A booted container. `root` is its root folder, as this machine sees it; `pid` its init."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.root = root
        self._process = process
        self._log = log
        self.pid = self._init_pid()

    def _init_pid(self) -> int:
        end_s = time.monotonic() + BOOT_S
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while time.monotonic() < end_s and self._process.poll() is None:
            for pid in children.read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                        return int(pid)
            time.sleep(0.05)
        raise OSError(f"the container did not boot: {self._log.read_text(errors='replace')[-2000:]}")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return what it printed, both streams."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C"]
        # No variable of this machine's test run may reach what runs inside.
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0"}
        outcome = subprocess.run(
            [*enter, *command], capture_output=True, text=True, env=clean, stdin=subprocess.DEVNULL, check=False
        )
        if check and outcome.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {outcome.returncode}: {outcome.stdout}{outcome.stderr}")
        return outcome.stdout + outcome.stderr

    def shown(self, *names: str, unit: str = UNIT) -> dict[str, str]:
        """Return properties of a unit as systemd shows them."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def wait_booted(self) -> None:
        self.wait_for(
            lambda: self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")
        )

    def wait_for(self, condition: object, deadline_s: float = BOOT_S, what: str = "") -> float:
        """Wait until the condition holds; return the seconds it took; raises AssertionError."""
        begun_s = time.monotonic()
        while not condition():  # type: ignore[operator]  # callable where given
            if time.monotonic() - begun_s > deadline_s:
                journal = self.run("journalctl", "-u", UNIT, "-o", "cat", "-n", "30", "--no-pager", check=False)
                raise AssertionError(f"never happened: {what}\n{journal}")
            time.sleep(0.1)
        return time.monotonic() - begun_s

    def drop_in(self, name: str, text: str) -> None:
        """Write a drop-in for the unit and have it read."""
        folder = self.root / "etc/systemd/system" / f"{UNIT}.d"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.conf").write_text(text)
        self.run("systemctl", "daemon-reload")

    def results(self) -> list[Path]:
        return sorted(p for p in (self.root / "srv/mds-edge/drop/json").iterdir() if not p.name.startswith("."))


@contextlib.contextmanager
def booted_container(work: Path) -> Iterator[Container]:
    """Boot a container with mds-edge installed, not started; everything is put away at the end."""
    disk = work / "container"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "mds-edge-test", str(disk)], check=True)
    before = control_groups()
    try:
        for name in ("upper", "scratch", "root"):
            (disk / name).mkdir()
        layers = f"lowerdir=/,upperdir={disk / 'upper'},workdir={disk / 'scratch'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(disk / "root")], check=True)
        try:
            install(disk / "root")
            yield from boot(disk)
        finally:
            subprocess.run(["umount", "-l", str(disk / "root")], capture_output=True, check=False)
    finally:
        subprocess.run(["umount", "-l", str(disk)], capture_output=True, check=False)
        for group in sorted(control_groups() - before, reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()


def boot(disk: Path) -> Iterator[Container]:
    log = disk / "boot.log"
    command = [
        "systemd-nspawn", "-q", "-D", str(disk / "root"), "--boot", "--register=no", "--keep-unit", "--private-network",
        "--link-journal=no", "--console=pipe", *(f"--bind-ro={host}:{inside}" for host, inside in binds()),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        container = Container(disk / "root", process, log)
        try:
            container.wait_booted()
            yield container
        finally:
            # As when the plug is pulled: with the first process every other one of the container ends.
            with contextlib.suppress(ProcessLookupError):
                os.kill(container.pid, signal.SIGKILL)
            process.wait(20.0)
    finally:
        process.kill()
        process.wait()


def control_groups() -> set[Path]:
    """Return the control groups that a container leaves behind (at most a few levels below each hierarchy)."""
    top = Path("/sys/fs/cgroup")
    return {group for name in ("payload", "supervisor") for group in top.glob(f"*/{name}")} | {
        group for depth in ("*", "*/*", "*/*/*") for group in top.glob(f"*/payload/{depth}/") if group.is_dir()
    }


def package_folders() -> list[str]:
    """Return the folders from which this process imports installed packages."""
    return [path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()]


def binds() -> list[tuple[str, str]]:
    packages = [(path, f"/opt/mds-edge/packages/{number}") for number, path in enumerate(package_folders())]
    return [(sys.base_prefix, "/opt/mds-edge/python"), (str(REPOSITORY), "/opt/mds-edge/source"), *packages]


def install(root: Path) -> None:
    """Put the files where the documentation puts them. Users and folders are made by systemd inside."""
    system = REPOSITORY / "systemd"
    for unit in MASKED:
        with contextlib.suppress(FileNotFoundError):
            (root / "etc/systemd/system" / unit).unlink()
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    shutil.copy(system / UNIT, root / "etc/systemd/system" / UNIT)
    for kind in ("sysusers.d", "tmpfiles.d"):
        (root / "usr/lib" / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(system / kind / "mds-edge.conf", root / "usr/lib" / kind / "mds-edge.conf")
    etc = root / "etc/mds-edge"
    etc.mkdir(mode=0o750, exist_ok=True)
    (etc / "mds-edge.toml").write_text(CONFIG)
    shutil.copy(REPOSITORY / "edge/demo/public_key.pem", etc / "bundle.pub.pem")
    for _, inside in binds():
        (root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
    make_environment(root)
    for folder in ("export", "drop/json"):
        (root / "srv/mds-edge" / folder).mkdir(parents=True, exist_ok=True)


def make_environment(root: Path) -> None:
    """Make /opt/mds-edge/venv: the bound Python, with the bound packages and sources on its path."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    venv = root / "opt/mds-edge/venv"
    packages = venv / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(f"/opt/mds-edge/python/bin/{version}")
    (venv / "pyvenv.cfg").write_text("home = /opt/mds-edge/python/bin\ninclude-system-site-packages = false\n")
    paths = ["/opt/mds-edge/source", *(inside for _, inside in binds() if "/packages/" in inside)]
    (packages / "mds-edge.pth").write_text("\n".join(paths) + "\n")


def prepare_inside(container: Container) -> None:
    """Do as root inside what an installation does after copying: users, folders, the drop folder's owner."""
    container.run("systemd-sysusers")
    container.run("systemd-tmpfiles", "--create", "mds-edge.conf")
    container.run("chown", "-R", "mds-edge:mds-edge", "/srv/mds-edge/drop/json")
