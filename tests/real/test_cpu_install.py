"""What a newcomer installs: `.[cpu]` in a fresh environment, used from elsewhere than the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from benchmarks.first_use import UNWANTED, folder_mb
from edge.demo import DEMO_BUNDLE
from tests.fault.site import REPOSITORY
from tests.real.real_site import PATIENCE_S, TestedBundle

INSTALL_S = 900.0
SIZE_MAX_MB = 1000.0
NO_INDEX = re.compile(r"Retrying \(Retry|Temporary failure in name resolution|ProxyError|Could not fetch URL")
# Everything that the build reads: without .git, environments and the leftovers of earlier builds.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "edge", "convert")


class Installed:
    """A virtual environment and a folder outside of the checkout to work in."""

    def __init__(self, root: Path) -> None:
        self.environment, self.elsewhere = root / "venv", root / "elsewhere"
        self.elsewhere.mkdir()

    @property
    def packages(self) -> Path:
        (found,) = (self.environment / "lib").glob("python*/site-packages")
        return found

    def run(self, command: str, *arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment; nothing of the checkout is on Python's path."""
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MDS_EDGE_CELLS")}
        return subprocess.run(
            [str(self.environment / "bin" / command), *arguments], cwd=self.elsewhere, env=clean, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("install")
    source = root / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy2
        copy(REPOSITORY / name, source / name)
    made = Installed(root)
    venv.create(made.environment, with_pip=True)
    ended = made.run("pip", "install", "--disable-pip-version-check", f"{source}[cpu]", timeout_s=INSTALL_S)
    said = ended.stdout + ended.stderr
    if ended.returncode != 0 and NO_INDEX.search(said):
        pytest.skip("no package index can be reached from here")
    assert ended.returncode == 0, said[-3000:]
    return made


def test_the_install_stays_below_a_gigabyte(installed: Installed) -> None:
    assert folder_mb(installed.environment) <= SIZE_MAX_MB


def test_nothing_is_installed_that_belongs_to_training_or_to_a_gpu(installed: Installed) -> None:
    listed = json.loads(installed.run("pip", "list", "--format=json", "--disable-pip-version-check").stdout)
    names = {package["name"].lower() for package in listed}
    assert {"mds-edge", "openvino", "xgboost-cpu"} <= names
    assert [name for name in sorted(names) if name.startswith((*UNWANTED, "onnx", "shap", "scikit"))] == []
    libraries = {path.name for path in installed.packages.rglob("*.so*")}
    assert [name for name in sorted(libraries) if re.match(r"lib(cu|nccl|nv|tensorrt|tensorflow)", name)] == []


def test_every_data_file_is_in_the_installed_package(installed: Installed) -> None:
    assert not (installed.elsewhere / "edge").exists()
    data = [
        path.relative_to(REPOSITORY)
        for path in sorted((REPOSITORY / "edge").rglob("*"))
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    named = {path.as_posix() for path in data}
    assert {"edge/errors.toml", "edge/writers/report.css", "edge/catalogue/catalogue.json", "edge/py.typed"} <= named
    for path in data:
        copy = installed.packages / path
        assert copy.is_file(), f"{path} is not in the wheel"
        assert copy.read_bytes() == (REPOSITORY / path).read_bytes(), path


def test_every_command_of_the_runtime_explains_itself(installed: Installed) -> None:
    commands = sorted(path.name for path in (installed.environment / "bin").glob("edge-*"))
    assert {"edge-run", "edge-daemon", "edge-demo", "edge-train", "edge-convert"} <= set(commands)
    for command in commands:
        ended = installed.run(command, "--help")
        assert ended.returncode == 0, ended.stderr
        assert f"usage: {command}" in ended.stdout


def test_a_slide_is_analyzed_by_the_installed_copy(installed: Installed, bundle: TestedBundle) -> None:
    drawing = ["slides", "--out", "export", "--count", "1", "--cells-per-slide", "20-20", "--json"]
    drawn = installed.run("edge-analyzer-simulator", *drawing)
    assert drawn.returncode == 0, drawn.stderr
    (slide,) = json.loads(drawn.stdout)["slides"]
    # The demo bundle is found where it was installed; a rehearsal bundle has to be named.
    options = [] if bundle.path == DEMO_BUNDLE else bundle.options
    ended = installed.run("edge-run", f"export/{slide}", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert (record["slide"]["slide_key"], record["images"], record["unreadable"]) == (slide, 20, 0)
    assert record["provenance"]["bundle"]["version"] == bundle.manifest["version"]
