"""What `edge-daemon --check-config` tries beside reading the file: the folders, the bundle, the GPU.

Not tried, because a daemon may be running: the state folder's lock, the journal and what it knows (an older bundle, a
drop folder of another journal), and the control socket.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from edge.config import Config
from edge.config_places import check_places
from edge.daemon.durable import free_bytes
from edge.daemon.environment import environment_faults
from edge.daemon.folder_look import list_slide_folders
from edge.daemon.state_folders import StateFolders
from edge.daemon.worker_orders import model_settings
from edge.delivery.publish import try_drop
from edge.errors import EdgeError
from edge.journal import file_system_of


def check_start(config: Config) -> Iterator[str]:
    """Yield one line per thing that is well; raises the EdgeError that a start would meet, as the same user.

    Another user than the state folder's owner is refused first (MDSE-DAEMON-020): it would leave folders behind that
    the service cannot use. A drop folder gets no identity from it: the journal would not know that one, and the first
    start would refuse the folder as another journal's. A source that is away is told, not refused: the daemon would
    start and wait for it.
    """
    faults = environment_faults(os.environ, isolated=bool(sys.flags.isolated))
    yield f"environment: {'as the unit sets it' if not faults else 'NOT that of the unit (' + '; '.join(faults) + ')'}"
    yield f"configuration: {len(config.sources)} source(s), {len(config.outputs)} output(s)"
    folders = StateFolders(config.site.state_dir)
    folders.require_ours()
    try:
        folders.make()
    except OSError as error:
        raise EdgeError("MDSE-DAEMON-014", where=str(folders.root), reason=error.strerror or str(error)) from error
    check_places(config)
    yield f"state folder: {folders.root} on {file_system_of(folders.root)}"
    yield check_models(config)
    if config.engine.device != "cpu":
        yield check_gpu(config, folders)
    for source in config.sources:
        try:
            count = len(list_slide_folders(source.path, source.sentinel, lambda: None))
            yield f"source {source.id}: {count} slide folders"
        except (OSError, EdgeError) as error:
            yield f"source {source.id}: AWAY ({error})"
    for output in config.outputs:
        method, folder_sync = try_drop(output.path)
        free = free_bytes(output.path)
        room = "" if free >= config.limits.min_free_drop_bytes else f", TOO FULL ({free} bytes free)"
        yield f"output {output.format}: {output.path}, rename {method}, folder sync {folder_sync}{room}"


def check_models(config: Config) -> str:
    """Open the bundle as the worker does, golden cells included; raises EdgeError MDSE-DAEMON-002 as a start would."""
    from edge.daemon.worker import BundleAnalyzer

    try:
        # No cache: this may run as another user than the service, whose folder must hold its own files only. The CPU
        # whatever is configured: slides run there while a GPU has no plan, and when it fails.
        facts = BundleAnalyzer(model_settings(config, device="cpu", cache=None)).facts
    except EdgeError as error:
        raise EdgeError("MDSE-DAEMON-002", where=str(config.bundle.path), reason=str(error)) from error
    return f"bundle: {facts['bundle']} {facts['version']} for {facts['intended_use']} use, golden cells agree"


def check_gpu(config: Config, folders: StateFolders) -> str:
    """Say whether the GPU can be used and its plan is there; a GPU that is out of order is told, not refused.

    Raises EdgeError MDSE-DAEMON-002 where the bundle has no network for a GPU or no library for one is installed.
    """
    from edge.bundle.reader import open_bundle
    from edge.daemon.device_state import is_device_fault
    from edge.daemon.worker import trusted_key
    from edge.engines.choose import choose_engine
    from edge.engines.installed import libraries_of_machine, require_gpu
    from edge.gpu_plans import has_plan

    device = config.engine.device
    try:
        require_gpu(device)
        key = config.bundle.public_key
        bundle = open_bundle(config.bundle.path, public_key=trusted_key(None if key is None else str(key)))
        choice = choose_engine(bundle.manifest.engines, libraries_of_machine(), device)
        # Looked at where it exists, never made: the folder must belong to the service.
        plans = folders.cache / "plans"
        found = plans.is_dir() and has_plan(bundle, choice, plans)
    except EdgeError as error:
        if is_device_fault(error.code) or error.code == "MDSE-ENGINE-006":
            return f"{device}: OUT OF ORDER ({error})"
        raise EdgeError("MDSE-DAEMON-002", where=str(config.bundle.path), reason=str(error)) from error
    return f"{device}: {choice.library} {choice.precision}, its plan {'is there' if found else 'will be built'}"
