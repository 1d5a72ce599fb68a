"""What `edge-daemon --check-config` tries beside reading the file: every place a start depends on."""

from __future__ import annotations

from collections.abc import Iterator

from edge.config import Config
from edge.config_places import check_places
from edge.daemon.analysis import model_settings
from edge.daemon.folder_look import list_slide_folders
from edge.daemon.state_folders import StateFolders
from edge.delivery.publish import prepare_drop
from edge.errors import EdgeError
from edge.journal import file_system_of


def check_start(config: Config) -> Iterator[str]:
    """Yield one line per thing that is well; raises the EdgeError that a start would meet.

    A source that is away is told, not refused: the daemon would start and wait for it.
    """
    yield f"configuration: {len(config.sources)} source(s), {len(config.outputs)} output(s)"
    folders = StateFolders(config.site.state_dir)
    try:
        folders.make()
    except OSError as error:
        raise EdgeError("MDSE-DAEMON-014", where=str(folders.root), reason=error.strerror or str(error)) from error
    check_places(config)
    yield f"state folder: {folders.root} on {file_system_of(folders.root)}"
    yield check_models(config)
    for source in config.sources:
        try:
            count = len(list_slide_folders(source.path, source.sentinel, lambda: None))
            yield f"source {source.id}: {count} slide folders"
        except (OSError, EdgeError) as error:
            yield f"source {source.id}: AWAY ({error})"
    for output in config.outputs:
        drop = prepare_drop(output.path)
        yield f"output {output.format}: {output.path}, rename {drop.method}, folder sync {drop.folder_sync}"


def check_models(config: Config) -> str:
    """Open the bundle as the worker does, golden cells included; raises EdgeError MDSE-DAEMON-002 as a start would."""
    from edge.daemon.worker import BundleAnalyzer

    try:
        # No cache: this may run as another user than the service, whose folder must hold its own files only.
        facts = BundleAnalyzer(model_settings(config, device=config.engine.device, cache=None)).facts
    except EdgeError as error:
        raise EdgeError("MDSE-DAEMON-002", where=str(config.bundle.path), reason=str(error)) from error
    return f"bundle: {facts['bundle']} {facts['version']} for {facts['intended_use']} use, golden cells agree"
