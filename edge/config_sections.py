"""The sections of the configuration file: one frozen model per TOML table, every key with meaning, unit and reason.

These models are the one place where a key exists. `docs/config.md` and `systemd/mds-edge.toml` are generated from
them (`edge/config_reference.py`), and `edge/config.py` reads a file into them. The tables that name folders are in
`edge/config_folders.py`. Values that only make sense together (folders apart, unique ids) are compared in
`edge/config_relations.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edge.config_folders import OutputSection, SourceSection
from edge.config_values import (
    SITE_ID_PATTERN,
    AbsolutePath,
    Fraction,
    Key,
    Names,
    ReferenceEntries,
    Seconds,
    Section,
    SocketPath,
    TimeZoneName,
    printable_text,
    tuple_from_list,
)


class SiteSection(Section):
    """Who sends: the laboratory, its clock and where the daemon keeps its own records."""

    id: Annotated[
        str,
        Field(pattern=SITE_ID_PATTERN),
        Key("Short name of the laboratory; goes into every result (MSH-4).", "", "Only the site knows it.", "HEMLAB"),
    ]
    name: Annotated[
        str,
        Field(max_length=80),
        AfterValidator(printable_text),
        Key("Full name of the laboratory, for reports read by people.", "", "Reports fall back on the id."),
    ] = ""
    timezone: Annotated[
        TimeZoneName,
        Key(
            "Zone of every time in a result, as in the IANA list.",
            "",
            "A zone guessed from the environment has shifted results by a day elsewhere, so it must be said.",
            "Asia/Tokyo",
        ),
    ]
    language: Annotated[
        Literal["en", "ja"],
        Key(
            "Language of the HTML reports: English or Japanese.",
            "",
            "Messages to a LIS are always English, which every receiver can read.",
        ),
    ] = "en"
    state_dir: Annotated[
        AbsolutePath,
        Key(
            "Folder of the journal, the spool, the archive and the quarantine. On a local disk, never on a share.",
            "",
            "The folder systemd makes for the unit (StateDirectory=).",
        ),
    ] = Path("/var/lib/mds-edge")


class BundleSection(Section):
    """Which models to run, and whose signature they must bear."""

    path: Annotated[
        AbsolutePath,
        Key("Folder of the model bundle.", "", "No default: which model runs is a decision.", "/opt/mds-edge/bundle"),
    ]
    public_key: Annotated[
        AbsolutePath | None,
        Key(
            "File with the Ed25519 public key (PEM) that must have signed the bundle.",
            "",
            "Without a key nothing is verified beyond digests, and the bundle's compiled trees are not loaded.",
            "/etc/mds-edge/bundle.pub.pem",
        ),
    ] = None
    allow_demo: Annotated[
        bool,
        Key(
            "Whether a bundle meant for demonstration may write to an output folder; its results are marked as tests.",
            "",
            "A demonstration model must not reach a LIS by oversight.",
        ),
    ] = False

    allow_older: Annotated[
        bool,
        Key(
            "Whether an older version of a bundle may run after a newer one of the same name has run here.",
            "",
            "A signed bundle with a known fault stays validly signed; going back to it must be a decision.",
        ),
    ] = False


class EngineSection(Section):
    """Where the network runs."""

    device: Annotated[
        Literal["cpu", "gpu"],
        Key(
            "Device of the network. `gpu` is refused at start unless the bundle holds a network for it.",
            "",
            "Every edge machine has a CPU.",
        ),
    ] = "cpu"
    threads: Annotated[
        int | None,
        Field(ge=1, le=256),
        Key("Threads of the network.", "threads", "The engine takes the physical cores of the machine.", 4),
    ] = None
    retry_s: Annotated[
        Seconds,
        Field(ge=1, le=3600),
        Key(
            "Pause before a GPU that failed is tried again; it doubles with every failure, up to an hour.",
            "s",
            "A lost GPU seldom comes back at once, and each try makes slides wait for a few seconds.",
        ),
    ] = 60.0


class AssessSection(Section):
    """Which assessments are made."""

    assess_all: Annotated[
        bool,
        Key(
            "Whether every slide is assessed, requested or not.",
            "",
            "A two-class model says something about every film; without a request it should say nothing.",
        ),
    ] = False
    targets: Annotated[
        Names,
        Field(max_length=32),
        Key("Targets of the bundle that this site uses; an empty list means all of them.", "", "A bundle holds few."),
    ] = ()


class ReferenceSection(Section):
    """The laboratory's own adult reference intervals, shown beside the differential. They decide nothing."""

    source: Annotated[
        str,
        Field(max_length=200),
        AfterValidator(printable_text),
        Key(
            "Where the intervals are from; stands under the differential of every report.",
            "",
            "An interval without its source cannot be questioned.",
        ),
    ] = ""
    intervals: Annotated[
        ReferenceEntries,
        Field(max_length=17),
        Key(
            'One entry a cell type: its code, lower and upper limit, such as "SNE 38 58.5"; in % of leucocytes, or per '
            "100 leucocytes for the types counted beside them.",
            "",
            "Empty: intervals depend on method and population, so the product brings none.",
        ),
    ] = ()


class LimitsSection(Section):
    """Where the daemon stops believing, or stops taking."""

    cell_side_px: Annotated[
        int,
        Field(ge=64, le=4096),
        Key(
            "Largest side of a cell image.",
            "px",
            "The size up to which decoding memory is bounded; a DI-60 cell has about 360 px.",
        ),
    ] = 4096
    cell_bytes: Annotated[
        int,
        Field(ge=10_000, le=20_971_520),
        Key("Largest file of a cell image.", "bytes", "20 MiB is a hundred times a DI-60 cell."),
    ] = 20_971_520
    unreadable_fraction: Annotated[
        Fraction,
        Field(ge=0, le=0.5),
        Key(
            "Share of unreadable images above which a slide is rejected.",
            "0-1",
            "One in ten: below, a count still stands for the film.",
        ),
    ] = 0.1
    min_free_bytes: Annotated[
        int,
        Field(ge=1_048_576, le=1_099_511_627_776),
        Key(
            "Free space of the state folder below which no new slide is taken.",
            "bytes",
            "1 GiB, some hundred spooled slides.",
        ),
    ] = 1_073_741_824
    min_free_drop_bytes: Annotated[
        int,
        Field(ge=1_048_576, le=1_099_511_627_776),
        Key(
            "Free space of a drop folder below which no new slide is taken; results that are finished still leave.",
            "bytes",
            "200 MiB, some ten thousand messages.",
        ),
    ] = 209_715_200
    attempts: Annotated[
        int,
        Field(ge=1, le=10),
        Key(
            "Crashes of the worker on one slide before it is quarantined.",
            "crashes",
            "Twice may be chance; three times is the slide.",
        ),
    ] = 3
    worker_budget_s: Annotated[
        Seconds,
        Field(ge=1, le=7200),
        Key(
            "How long the worker may take for one slide before it is stopped.",
            "s",
            "Far above a full slide on two slow cores.",
        ),
    ] = 300.0


class RetentionSection(Section):
    """How long spooled images are kept, and then the rows of finished slides."""

    days: Annotated[
        int,
        Field(ge=1, le=3650),
        Key(
            "Days that the spooled images of a finished slide are kept, and after that, once its folder has not been "
            "listed for as long, its rows: from then on its result can no longer be finalized, withdrawn or sent "
            "again. Records and audit stay.",
            "days",
            "A month covers a query from the ward. Never below the time in which results are still finalized, "
            "questioned or taken back.",
        ),
    ] = 30


class HealthSection(Section):
    """Where people and monitoring ask how the daemon is."""

    socket: Annotated[
        SocketPath,
        Key("Control socket (UNIX, no network).", "", "The folder systemd makes for the unit (RuntimeDirectory=)."),
    ] = Path("/run/mds-edge/control.sock")
    metrics_file: Annotated[
        AbsolutePath,
        Key(
            "Metrics in Prometheus text form, replaced as a whole.",
            "",
            "Beside the socket, where a node exporter can read it. It goes when the daemon is stopped: monitoring must "
            "take a missing or old file for an alarm.",
        ),
    ] = Path("/run/mds-edge/metrics.prom")


class Config(Section):
    """The whole configuration. `sources` and `outputs` are the tables `[[source]]` and `[[output]]` of the file."""

    site: SiteSection
    bundle: BundleSection
    engine: EngineSection = EngineSection()
    sources: Annotated[
        tuple[SourceSection, ...], BeforeValidator(tuple_from_list), Field(alias="source", min_length=1, max_length=32)
    ]
    outputs: Annotated[
        tuple[OutputSection, ...], BeforeValidator(tuple_from_list), Field(alias="output", min_length=1, max_length=32)
    ]
    assess: AssessSection = AssessSection()
    reference: ReferenceSection = ReferenceSection()
    limits: LimitsSection = LimitsSection()
    retention: RetentionSection = RetentionSection()
    health: HealthSection = HealthSection()
