"""`edge-run`: analyze one exported slide, here and now, without daemon, journal or LIS."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.option_values import positive_number, sample_id_pattern
from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from edge.model import Model
    from edge.pipeline import AnalyzedSlide, Job
    from edge.slide import Slide

SOURCE = "edge-run"
DESCRIPTION = """\
Analyzes one exported slide and prints what was found: the differential, the findings, the scores with their intervals
and what stands behind them. Nothing is sent anywhere and nothing is remembered; edge-daemon does the routine.
"""
EXAMPLES = """\
examples:
  edge-run export/A0042_S1                        one page on the terminal, with the demo bundle
  edge-run export/A0042_S1 --html report.html     the report with every cell, for a browser
  edge-run export/A0042_S1 --html r.html --language ja   the same report in Japanese
  edge-run export/A0042_S1 --json                 the record (schema mds-edge.record/1) on standard output
  edge-run export/A0042_S1 --out results          record, report and HL7 message as files in ./results
  edge-run export/A0042_S1 --bundle wbc-2026.1 --public-key site.pem

The folder holds cell images and, best, slide.json (docs/slide-folder.md). Exit status: 0 done, 4 the bundle does not
fit this machine, 5 the slide was rejected; the message says why and what to do.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Analyze one slide; exit status 0 when it was analyzed, whatever was found."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-run", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path, metavar="SLIDE", help="folder of one exported slide")
    parser.add_argument("--bundle", type=Path, metavar="B", help="model bundle (default: the demo bundle)")
    parser.add_argument("--public-key", type=Path, metavar="K", help="PEM of the key that must have signed the bundle")
    parser.add_argument(
        "--engine",
        default="cpu",
        metavar="E",
        help="cpu, gpu, tensorrt, rtx, auto, or one with a precision: cpu-fp32 (default cpu)",
    )
    parser.add_argument("--threads", type=positive_number, metavar="N", help="processor threads (default: all)")
    parser.add_argument(
        "--sample-id-pattern",
        type=sample_id_pattern,
        metavar="RE",
        help="take the sample id from the folder's name; one group",
    )
    parser.add_argument("--assess-all", action="store_true", help="assess every target, requested by the slide or not")
    parser.add_argument("--json", action="store_true", help="print the record instead of the page")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report")
    parser.add_argument(
        "--language", choices=("en", "ja"), default="en", help="language of page and report (default en)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write record, report and HL7 message into this folder")
    parser.add_argument("--site", default="EDGE-RUN", metavar="ID", help="site id in the record (default EDGE-RUN)")
    parser.add_argument(
        "--at", type=_moment, metavar="TIME", help="time of analysis in the record, ISO 8601 with offset (default: now)"
    )
    return parser


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time") from error
    if moment.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset from UTC, such as +09:00")
    return moment.isoformat(timespec="seconds")


def _run(arguments: argparse.Namespace) -> int:
    from edge.pipeline import Rules, analyze_slide
    from edge.result import record_bytes
    from edge.slide import read_slide

    # First the slide: whether it can be used at all is known long before a model is open.
    slide = read_slide(arguments.slide, sample_id_pattern=arguments.sample_id_pattern)
    model = _open_model(arguments)
    try:
        _tell(f"analyzing {len(slide.cell_files)} images of {slide.slide_key}")
        rules = Rules(language=arguments.language)
        analyzed = analyze_slide(slide, model, _job(slide, arguments), rules=rules)
        record = record_bytes(analyzed.record)
        _write_files(analyzed, record, arguments)
        if arguments.json:
            sys.stdout.buffer.write(record)
        else:
            from edge.run_summary import page_from_record

            sys.stdout.write(page_from_record(analyzed.record, model.catalogue, arguments.language))
        sys.stdout.flush()
    finally:
        model.close()
    return EXIT_DONE


def _open_model(arguments: argparse.Namespace) -> Model:
    from edge.bundle.key_file import read_public_key
    from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
    from edge.model import open_model

    bundle = arguments.bundle or DEMO_BUNDLE
    key = arguments.public_key or (None if arguments.bundle else DEMO_PUBLIC_KEY)
    model = open_model(bundle, public_key=read_public_key(key), engine=arguments.engine, threads=arguments.threads)
    proof = model.prove_golden()
    signed = "signed by the given key" if model.signed_by_trusted_key else "signature not checked: no --public-key"
    _tell(f"bundle {model.manifest.name} {model.manifest.version}, {signed}; engine {model.choice.reason}")
    _tell(f"{proof.cells} golden cells agree (mean difference of types {proof.mean_type_difference:.5f})")
    return model


def _job(slide: Slide, arguments: argparse.Namespace) -> Job:
    from edge.daemon.spool import SpooledFile, idempotency_key, manifest_digest
    from edge.pipeline import Job

    digest = manifest_digest([SpooledFile(f.path, f.size_bytes, f.sha256 or "") for f in slide.cell_files])
    key = idempotency_key(SOURCE, slide.slide_key, digest)
    return Job(
        source=SOURCE,
        revision=1,
        message_id=f"{key[:12].upper()}.R1",
        supersedes=None,
        reason=None,
        status="P",
        analysed_at=arguments.at or datetime.now().astimezone().isoformat(timespec="seconds"),
        assess_all=arguments.assess_all,
        manifest_sha256=digest,
        site=arguments.site,
        degraded=False,
        warnings=(),
    )


def _write_files(analyzed: AnalyzedSlide, record: bytes, arguments: argparse.Namespace) -> None:
    files: dict[Path, bytes] = {}
    if arguments.html:
        files[arguments.html] = analyzed.report_html
    if arguments.out:
        from edge.writers.choose import writer_for

        message = writer_for("hl7").render(analyzed.record)
        stem = str(analyzed.record["message_id"])
        files |= {
            arguments.out / f"{stem}.json": record,
            arguments.out / f"{stem}.html": analyzed.report_html,
            arguments.out / f"{stem}{message.extension}": message.content,
        }
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace_file(path, content)
        except OSError as error:
            raise EdgeError("MDSE-ASSESS-003", where=str(path), reason=error.strerror or str(error)) from error
        _tell(f"wrote {path}")


def _replace_file(path: Path, content: bytes) -> None:
    """Write `path` so that no reader ever sees half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
