"""The sections of the configuration file: one frozen model per TOML table, every key with meaning, unit and reason.

These models are the one place where a key exists. `docs/config.md` and `systemd/mds-edge.toml` are generated from
them (`edge/config_reference.py`), and `edge/config.py` reads a file into them. Values that only make sense together
(folders apart from each other, unique ids) are compared in `edge/config_relations.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edge.config_values import (
    SITE_ID_PATTERN,
    SOURCE_ID_PATTERN,
    AbsolutePath,
    FileName,
    FileNames,
    Fraction,
    Key,
    Names,
    ReferenceEntries,
    SampleIdPattern,
    Seconds,
    Section,
    SocketPath,
    StatusLetters,
    TimeZoneName,
    printable_text,
    tuple_from_list,
)
from edge.writers.base import WriterOptions
from edge.writers.letters import letter_table


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


class SourceSection(Section):
    """One export folder of an analyzer. It is only read."""

    id: Annotated[
        str,
        Field(pattern=SOURCE_ID_PATTERN),
        Key(
            "Short name; part of every slide's identity, so it must never change.",
            "",
            "Only the site knows it.",
            "di60",
        ),
    ]
    path: Annotated[
        AbsolutePath,
        Key("Folder that holds one folder per slide.", "", "Only the site knows it.", "/srv/mds-edge/export"),
    ]
    sample_id_pattern: Annotated[
        SampleIdPattern | None,
        Key(
            "Regular expression on the slide folder's whole name, for slides without metadata. "
            "Its one group is the sample id.",
            "",
            "Without it a slide that names no sample is held: a sample id is never guessed.",
            "(?P<sample_id>[0-9]{6,12})_[0-9]+",
        ),
    ] = None
    quiet_s: Annotated[
        Seconds,
        Field(ge=1, le=3600),
        Key(
            "How long a slide folder must stay unchanged before it counts as complete.",
            "s",
            "Longer than the attribute cache of a share and than the gaps of a slow copy.",
        ),
    ] = 30.0
    max_wait_s: Annotated[
        Seconds,
        Field(ge=2, le=86400),
        Key(
            "How long a slide may stay incomplete before it is held with an alarm.",
            "s",
            "Half an hour is longer than any scan of a slide.",
        ),
    ] = 1800.0
    marker: Annotated[
        FileNames,
        Field(max_length=16),
        Key(
            "Names of files that say 'this slide is complete'.",
            "",
            "The names in use with public instruments and export scripts.",
        ),
    ] = (".complete", "CopyComplete.txt", "export.done")
    marker_required: Annotated[
        bool,
        Key(
            "Whether a slide without a marker is never taken.",
            "",
            "Not every export writes one. Where yours does, set this to true: it is the safest rule.",
        ),
    ] = False
    late_policy: Annotated[
        Literal["hold", "revise"],
        Key(
            "What happens when files change after a result was sent: `hold` for a person, or send a numbered revision.",
            "",
            "A correction that nobody asked for surprises the ward.",
        ),
    ] = "hold"
    scan_s: Annotated[
        Seconds,
        Field(ge=0.1, le=300),
        Key(
            "Pause between two looks at the folder.",
            "s",
            "Events of a share get lost; looking every 5 s costs almost nothing.",
        ),
    ] = 5.0
    sentinel: Annotated[
        FileName | None,
        Key(
            "Name of a file at the root of the folder. While it is missing, the share counts as away.",
            "",
            "None, because the site must be able to place the file. It is the best proof that the right share "
            "is mounted.",
            ".export_root",
        ),
    ] = None


class OutputSection(Section):
    """One drop folder: a format, a place and the way the LIS confirms."""

    format: Annotated[
        Literal["hl7", "hl7-oul", "lis2", "csv", "csv-wide", "fhir", "json"],
        Key(
            "`hl7` (v2.5.1 ORU^R01), `hl7-oul` (v2.5.1 OUL^R22, LAW), `lis2` (LIS2-A2 record file), `csv` (one row a "
            "result), `csv-wide` (SENAITE), `fhir` (R4 transaction bundle) or `json` (the whole record).",
            "",
            "Only the site knows it.",
            "hl7",
        ),
    ]
    path: Annotated[
        AbsolutePath,
        Key(
            "Drop folder of this format alone: many readers take every file they find.",
            "",
            "Only the site knows it.",
            "/srv/mds-edge/drop/hl7",
        ),
    ]
    ack: Annotated[
        Literal["ack-file", "file-gone", "senaite-index", "none"],
        Key(
            "How the LIS confirms: it writes an HL7 ACK file, it takes the file away, it writes the file's name into "
            "`imported.csv` of the drop folder (SENAITE), or not at all.",
            "",
            "No default: a wrong guess means false alarms or silence.",
            "file-gone",
        ),
    ]
    ack_path: Annotated[
        AbsolutePath | None,
        Key(
            'Folder where the LIS writes `<name>.ack`; only with ack = "ack-file".',
            "",
            "The folder `ack` beside the drop folder.",
            "/srv/mds-edge/drop/ack",
        ),
    ] = None
    status_letters: Annotated[
        StatusLetters,
        Field(max_length=3),
        Key(
            'Replacements for a receiver that takes fewer status letters, for example `["W=D", "X=C"]`: `C` by `F`, '
            "`W` by `C`, `F`, `X` or `D` (HL7 only), `X` by `P`, `F` or `C`. A preliminary result has none.",
            "",
            "All five letters are sent: `P` preliminary, `F` final, `C` corrected, `W` withdrawn, `X` not evaluated.",
        ),
    ] = ()
    record_end: Annotated[
        Literal["crlf", "cr", "lf"],
        Key(
            'End of each record; only with format = "lis2".',
            "",
            "Some readers split on CR and some on LF; both together serve both.",
        ),
    ] = "crlf"
    times_with_offset: Annotated[
        bool,
        Key(
            "Whether HL7 times carry their offset from UTC.",
            "",
            "Without one a receiver in another zone shifts the day; set it to false for one that cannot read it.",
        ),
    ] = True
    report: Annotated[
        bool,
        Key(
            "Whether the HTML report is published beside each message, before it, as `<same name>.html`.",
            "",
            "Many readers take every file they find, and would try to import it.",
        ),
    ] = False
    pickup_max_s: Annotated[
        Seconds,
        Field(ge=1, le=604800),
        Key(
            "How long a result may wait for its pickup before an alarm.",
            "s",
            "A LIS polls within seconds to minutes; a quarter of an hour is a fault.",
        ),
    ] = 900.0
    resends_max: Annotated[
        int,
        Field(ge=0, le=3),
        Key(
            "How often a message is sent again by itself (same bytes, same message id, longer pauses) after a refusal "
            'that the LIS calls an error of its own (ERR-3 206 or 207); only with ack = "ack-file".',
            "resends",
            "A receiver that restarts is back within minutes; after three tries a person must look.",
        ),
    ] = 3

    @property
    def ack_folder(self) -> Path:
        """The folder where acknowledgements are read: `ack_path`, or `ack` beside the drop folder."""
        return self.ack_path if self.ack_path is not None else self.path.parent / "ack"

    @property
    def writer_options(self) -> WriterOptions:
        """What the writer of this output must know of the site."""
        return WriterOptions(letter_table(self.status_letters), self.record_end, self.times_with_offset)


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
    """How long spooled images are kept."""

    days: Annotated[
        int,
        Field(ge=1, le=3650),
        Key(
            "Days that the spooled images of a finished slide are kept. Records and audit stay.",
            "days",
            "A month covers a query from the ward.",
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
            "Beside the socket; a node exporter can read it there.",
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
