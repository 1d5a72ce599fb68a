"""The sections of the configuration that name folders: where slides come from and where results go.

Each model is one TOML table that may stand several times (`[[source]]`, `[[output]]`); the other tables and the whole
file are in `edge/config_sections.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge.config_values import (
    SOURCE_ID_PATTERN,
    AbsolutePath,
    ControlPattern,
    FileName,
    FileNames,
    Key,
    SampleIdPattern,
    Seconds,
    Section,
    StatusLetters,
)
from edge.writers.base import WriterOptions
from edge.writers.letters import letter_table

LIS2_WITHDRAWAL = "W=C"


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
    control_pattern: Annotated[
        ControlPattern | None,
        Key(
            "Regular expression on the whole sample id of control material. Each of its results takes the place of the "
            "one before at the receiver, and no slide of it waits for a withdrawal (MDSE-SPOOL-014). No format marks a "
            "result as one of control material: the receiver has to know it by the number.",
            "",
            "None: of a patient's sample, a second slide under one number is a mistake until a person has looked.",
            "QC[0-9]+",
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
            "What happens when files change after a result was sent: `hold` for a person, or send a numbered revision: "
            "unasked, unreviewed, as a correction where a final result stands, and also where the metadata names "
            "another patient or order than before.",
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
            "Events of a share get lost; looking every 5 s costs almost nothing: the folders are listed anew when the"
            " folder's time or an event tells of a change, and every 30 s whatever they tell.",
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
            "All five letters are sent: `P` preliminary, `F` final, `C` corrected, `W` withdrawn, `X` not evaluated. "
            "LIS2-A2 has no letter for a withdrawal: there `W` is replaced by `C` unless another replacement is named.",
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
    notice: Annotated[
        bool,
        Key(
            "Whether a slide that could not be analyzed is told to this receiver (status X, no values), once.",
            "",
            "A slide in quarantine waits for a person anyway, and not every receiver takes a result without values.",
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
        words = self.status_letters
        if self.format == "lis2" and not any(word.startswith("W=") for word in words):
            # R.9 has no letter for a withdrawal, and an empty value may be read as "has not changed" there.
            words = (*words, LIS2_WITHDRAWAL)
        return WriterOptions(letter_table(words), self.record_end, self.times_with_offset)
