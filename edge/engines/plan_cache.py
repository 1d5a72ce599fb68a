"""Plans that were built here: which machine each is for, and that it is still, to the byte, what was built.

A plan is executable code for one GPU model, driver and TensorRT. It is kept under the digest of everything it depends
on, beside a small JSON file with its size and SHA-256. What does not agree is removed and reported, never loaded: the
daemon then builds it again. The folder is private; the bytes that were compared are the bytes that are loaded.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge.bundle.digest import sha256_hex
from edge.engines.cuda_driver import DeviceInfo
from edge.engines.private_folder import private_folder

_SCHEMA = "mds-edge.plan/1"
_KERNEL_MODULE = Path("/proc/driver/nvidia/version")
_MAX_FACTS_BYTES = 1 << 20
_MAX_PLAN_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything a plan depends on (design section 4b). A difference in any field is another plan."""

    bundle_digest: str
    onnx_sha256: str
    precision: str
    batch_sizes: tuple[int, ...]
    library: str
    library_version: str
    gpu: str
    compute_capability: str
    driver: str
    system: str

    @property
    def digest(self) -> str:
        """Return the name of the plan: 32 hexadecimal digits."""
        return sha256_hex(json.dumps(asdict(self), sort_keys=True).encode("ascii"))[:32]

    @property
    def bundle_path(self) -> str:
        """Return where a bundle carries this plan. Its own digest cannot be part of a name inside it."""
        return f"plans/{replace(self, bundle_digest='').digest}.plan"


def driver_text(info: DeviceInfo, kernel_module: Path = _KERNEL_MODULE) -> str:
    """Return CUDA's version with that of the kernel module, which changes with every driver update; Jetson has none."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", kernel_module.read_text(encoding="ascii", errors="replace"))
    except OSError:
        found = None
    return f"{info.driver_version}-{found[0] if found else 'unknown'}"


def system_text() -> str:
    """Return operating system and processor kind, such as "Linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}"


@dataclass(frozen=True, slots=True, eq=False)
class CachedPlan:
    """A plan as it was built: its bytes and the layers that must not run in float."""

    plan: bytes
    quantized_layers: dict[str, str]


class PlanCache:
    """The plans in one private folder; raises EdgeError MDSE-ENGINE-006 when others could write into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self.discarded: list[str] = []

    def load(self, key: PlanKey) -> CachedPlan | None:
        """Return the plan for this key, or None where there is none that agrees with its facts.

        What disagrees is removed; why stands in `discarded`.
        """
        plan_path, facts_path = self._paths(key)
        try:
            facts_bytes = _read_plain(facts_path, _MAX_FACTS_BYTES)
            plan = _read_plain(plan_path, _MAX_PLAN_BYTES)
        except FileNotFoundError:
            self._discard(key, "" if not plan_path.exists() else "it has no facts beside it")
            return None
        except OSError as error:
            self._discard(key, error.strerror or str(error))
            return None
        try:
            facts = json.loads(facts_bytes)
            quantized = {str(name): str(kind) for name, kind in facts["quantized_layers"].items()}
            found = (facts["schema"], facts["key"], facts["bytes"], facts["sha256"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._discard(key, f"its facts cannot be read ({type(error).__name__})")
            return None
        if found[:2] != (_SCHEMA, json.loads(json.dumps(asdict(key)))):
            self._discard(key, "it was built for something else")
        elif found[2] != len(plan) or found[3] != sha256_hex(plan):
            self._discard(key, f"it holds {len(plan)} bytes that are not those that were built ({found[2]})")
        else:
            return CachedPlan(plan, quantized)
        return None

    def store(self, key: PlanKey, plan: bytes, quantized_layers: Mapping[str, str], build_s: float) -> Path:
        """Keep a proved plan and return its path; raises OSError. Plans of earlier machines or bundles are removed."""
        plan_path, facts_path = self._paths(key)
        facts = {
            "schema": _SCHEMA, "key": asdict(key), "bytes": len(plan), "sha256": sha256_hex(plan),
            "quantized_layers": dict(quantized_layers), "build_s": round(build_s, 1),
        }  # fmt: skip
        for old in self._folder.glob("*.plan"):
            if old != plan_path:
                old.unlink(missing_ok=True)
                old.with_suffix(".json").unlink(missing_ok=True)
        _write_private(plan_path, plan)
        _write_private(facts_path, json.dumps(facts, indent=1).encode("ascii"))
        _write_private(self._folder / "last-build.json", json.dumps({"build_s": facts["build_s"]}).encode("ascii"))
        return plan_path

    def kept_sizes(self, key: PlanKey) -> tuple[int, ...] | None:
        """Return the batch sizes of a kept plan that differs from `key` in nothing else; None where there is none."""
        wanted = json.loads(json.dumps(asdict(key)))
        for path in sorted(self._folder.glob("*.json")):
            try:
                found = json.loads(_read_plain(path, _MAX_FACTS_BYTES)).get("key")
                sizes = tuple(int(size) for size in found["batch_sizes"]) if found else ()
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # not the facts of a plan: `load` says so for the one that is asked for
            if sizes and found | {"batch_sizes": wanted["batch_sizes"]} == wanted:
                return sizes
        return None

    def remove(self, key: PlanKey, reason: str) -> None:
        """Remove a plan that turned out to be of no use."""
        self._discard(key, reason)

    def last_build_s(self) -> float | None:
        """Return how long the last build took, for an estimate; None when there was none."""
        try:
            return float(json.loads(_read_plain(self._folder / "last-build.json", _MAX_FACTS_BYTES))["build_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # an estimate that is not there is none

    def timing_cache(self) -> bytes:
        """Return what earlier builds learnt about kernels; empty where there is nothing."""
        try:
            return _read_plain(self._folder / "timing.cache", _MAX_PLAN_BYTES)
        except OSError:
            return b""  # it only saves time

    def store_timing_cache(self, data: bytes) -> None:
        """Keep what a build learnt; raises OSError."""
        _write_private(self._folder / "timing.cache", data)

    def _paths(self, key: PlanKey) -> tuple[Path, Path]:
        return self._folder / f"{key.digest}.plan", self._folder / f"{key.digest}.json"

    def _discard(self, key: PlanKey, reason: str) -> None:
        for path in self._paths(key):
            path.unlink(missing_ok=True)
        if reason:
            self.discarded.append(f"plan {key.digest} was removed: {reason}")


def _read_plain(path: Path, limit_bytes: int) -> bytes:
    """Read a file that is no link. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(f"it is larger than {limit_bytes} bytes")
    return data


def _write_private(path: Path, data: bytes) -> None:
    """Replace a file as a whole, readable for us alone, on the disk before it has its name."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def plan_facts(key: PlanKey) -> dict[str, Any]:
    """Return the key for people: what a plan was built for."""
    return asdict(key) | {"digest": key.digest}


def write_foreign_plan(folder: Path, name: str, plan: bytes) -> Path:
    """Write a plan for another machine under a name of its own and return its path; raises OSError."""
    path = private_folder(folder) / name
    _write_private(path, plan)
    return path
