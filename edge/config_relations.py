"""What must hold between the keys of a configuration: folders kept apart, ids unique, times in order.

Everything here compares names only and touches no file system: a hung share must not hang the reading of the
configuration. What only the disk can tell (links, mounts, rights) is in `edge/config_places.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from edge.config_folders import OutputSection
from edge.config_lines import Location
from edge.config_sections import Config

# The formats whose receivers answer with an HL7 acknowledgement: ORU^R01 and OUL^R22.
FORMATS_WITH_ACK = frozenset({"hl7", "hl7-oul"})

Problem = tuple[Location, str]
Place = tuple[Location, Path]


def problems_between_keys(config: Config) -> tuple[Problem, ...]:
    """Return every broken relation as (location of the later key, what is wrong), in the order of the file."""
    return (
        *_repeated_ids(config),
        *_times_out_of_order(config),
        *_acknowledgement_settings(config),
        *_settings_of_other_formats(config),
        *_folders_that_meet(config),
        *_files_in_shared_folders(config),
    )


def folders_overlap(one: Path, other: Path) -> bool:
    """Return whether two absolute paths are the same, or one lies inside the other. Compares names only."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def _repeated_ids(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, source in enumerate(config.sources):
        # Compared without case: a share may not tell `DI60` from `di60`, and people do not either.
        first = seen.setdefault(source.id.casefold(), index)
        if first != index:
            yield ("source", index, "id"), f"is also the id of source[{first + 1}]"


def _times_out_of_order(config: Config) -> Iterator[Problem]:
    for index, source in enumerate(config.sources):
        if source.max_wait_s <= source.quiet_s:
            yield ("source", index, "max_wait_s"), "must be longer than quiet_s"
        if source.scan_s > source.quiet_s:
            # Stability needs at least two looks within the quiet time.
            yield ("source", index, "scan_s"), "must not be longer than quiet_s"
        if source.marker_required and not source.marker:
            yield ("source", index, "marker_required"), "needs at least one name in marker"


def _acknowledgement_settings(config: Config) -> Iterator[Problem]:
    folders: dict[Path, int] = {}
    for index, output in enumerate(config.outputs):
        if output.ack == "senaite-index" and output.report:
            yield ("output", index, "report"), "is true, but SENAITE imports every file of the folder as results"
        if output.ack == "senaite-index" and output.format in FORMATS_WITH_ACK:
            yield ("output", index, "ack"), 'is "senaite-index", but SENAITE imports no HL7 from a folder'
        if output.ack != "ack-file":
            if output.ack_path is not None:
                yield ("output", index, "ack_path"), f'has no meaning with ack = "{output.ack}"'
            continue
        if output.format not in FORMATS_WITH_ACK:
            yield (
                ("output", index, "ack"),
                'is "ack-file", but only format = "hl7" or "hl7-oul" is answered with an HL7 acknowledgement',
            )
        first = folders.setdefault(output.ack_folder, index)
        if first != index:
            yield _ack_location(index, output), f"is also the acknowledgement folder of output[{first + 1}]"


def _settings_of_other_formats(config: Config) -> Iterator[Problem]:
    """A key that the output's format does not know must not stand there as if it did something."""
    for index, output in enumerate(config.outputs):
        is_hl7 = output.format in ("hl7", "hl7-oul")
        if output.record_end != "crlf" and output.format != "lis2":
            yield ("output", index, "record_end"), f'has no meaning with format = "{output.format}"'
        if not output.times_with_offset and not is_hl7:
            yield ("output", index, "times_with_offset"), f'has no meaning with format = "{output.format}"'
        if output.status_letters and output.format in ("json", "csv-wide"):
            yield ("output", index, "status_letters"), f'has no meaning with format = "{output.format}"'
        if output.notice and output.format == "csv-wide":
            yield ("output", index, "notice"), 'has no meaning with format = "csv-wide", which knows no status'
        if "W=D" in output.status_letters and not is_hl7:
            yield ("output", index, "status_letters"), "replaces W by D, which only the HL7 formats know"


def _ack_location(index: int, output: OutputSection) -> Location:
    return ("output", index, "ack" if output.ack_path is None else "ack_path")


def places_of_config(config: Config) -> list[Place]:
    """Return every configured folder with its location: state, bundle, exports, drops, acknowledgements."""
    places: list[Place] = [(("site", "state_dir"), config.site.state_dir), (("bundle", "path"), config.bundle.path)]
    places += [(("source", index, "path"), source.path) for index, source in enumerate(config.sources)]
    for index, output in enumerate(config.outputs):
        places.append((("output", index, "path"), output.path))
        if output.ack == "ack-file":
            places.append((_ack_location(index, output), output.ack_folder))
    return places


def _folders_that_meet(config: Config) -> Iterator[Problem]:
    """Export, drop, acknowledgement, state and bundle folders: none may be, contain or lie in another.

    One exception: the state folder may hold the bundle, because nobody but the service and root writes there.
    """
    for (first_location, first), (location, path) in combinations(places_of_config(config), 2):
        if {first_location, location} == {("site", "state_dir"), ("bundle", "path")} and first != path:
            continue
        if folders_overlap(first, path):
            yield location, f"({path}) and {dotted_from_location(first_location)} ({first}) must be separate folders"


def _files_in_shared_folders(config: Config) -> Iterator[Problem]:
    files: list[Place] = [
        (("health", "socket"), config.health.socket),
        (("health", "metrics_file"), config.health.metrics_file),
    ]
    if config.bundle.public_key is not None:
        files.append((("bundle", "public_key"), config.bundle.public_key))
    shared = [("source", source.path) for source in config.sources] + [("output", o.path) for o in config.outputs]
    for location, path in files:
        for kind, folder in shared:
            if path.is_relative_to(folder):
                yield location, f"must not lie in a folder of an {kind} ({folder}): others write there"
    if config.health.socket == config.health.metrics_file:
        yield ("health", "metrics_file"), "must not be the socket"


def dotted_from_location(location: Location) -> str:
    """Return a path as people read it: `("source", 0, "quiet_s")` is `source[1].quiet_s`, counted from 1."""
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
