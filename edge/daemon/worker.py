"""The worker: the one child that decodes images and runs the models. It may crash; the books are kept elsewhere.

    from the supervisor   begin {bundle, engine, ...} · analyze {folder, slide_key, ..., job}
    to the supervisor     ready {facts} · analyzed + record bytes + report bytes · rejected {code, text}
                          failed {code, text, retry}

What does the work is an *analyzer*: `open_analyzer(settings)` below opens the bundle. Tests may name another factory
(`module:function`), which the command refuses unless the environment variable MDS_EDGE_TEST_ANALYZER allows it.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge.daemon.channel import Channel
from edge.daemon.child_main import run_child
from edge.daemon.smaller_batches import engine_for_attempt
from edge.daemon.trouble import error_number_of
from edge.errors import EXIT_SLIDE_REJECTED, EdgeError

if TYPE_CHECKING:
    from edge.engines.base import EngineSpec

ALLOW_TEST_ANALYZER = "MDS_EDGE_TEST_ANALYZER"


class SlideAnalyzer(Protocol):
    """What the worker needs: facts about the models, and a slide turned into record and report bytes."""

    facts: Mapping[str, object]

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the canonical record and the HTML report of one spooled slide; raises EdgeError."""
        ...


class BundleAnalyzer:
    """The real thing: the bundle's models, proved on the golden cells before the first slide."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from edge.daemon.bundle_fit import check_meanings, check_targets
        from edge.model import open_model

        cache = settings["cache"]
        self._model = open_model(
            Path(settings["bundle"]),
            public_key=trusted_key(settings["public_key"]),
            engine=settings["device"],
            cache_dir=Path(cache) if cache else None,
            plans_dir=Path(settings["plans"]) if settings["plans"] else None,
            threads=settings["threads"],
        )
        check_meanings(self._model.catalogue, settings["formats"])
        check_targets(settings["targets"], self._model.assessments)
        self._model.prove_golden()
        self._limits: Mapping[str, Any] = settings["limits"]
        self._targets = tuple(settings["targets"])
        self._report: Mapping[str, Any] = settings["report"]
        manifest = self._model.manifest
        self.facts: Mapping[str, object] = {
            "bundle": manifest.name,
            "version": manifest.version,
            "digest": self._model.digest,
            "intended_use": manifest.intended_use,
            "engine": engine_words(self._model.engine.spec),
        }

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Read the spooled slide and run it through the pipeline."""
        from edge.images import ImageLimits
        from edge.pipeline import Job, Rules, analyze_slide
        from edge.report_material import limits_from_words
        from edge.result import record_bytes
        from edge.slide import SlideWarning, read_slide
        from edge.writers.report_context import ReferenceIntervals

        slide = read_slide(
            Path(order["folder"]),
            slide_key=order["slide_key"],
            sample_id_pattern=order["sample_id_pattern"],
            is_copy=True,
        )
        fields = dict(order["job"])
        fields["warnings"] = tuple(SlideWarning(code, text) for code, text in fields["warnings"])
        fields["reported"] = tuple(fields["reported"])
        limits = ImageLimits(side_px_max=self._limits["cell_side_px"], bytes_max=self._limits["cell_bytes"])
        reference = ReferenceIntervals(self._report["reference_source"], limits_from_words(self._report["reference"]))
        rules = Rules(limits, self._limits["unreadable_fraction"], self._targets, self._report["language"], reference)
        # A worker that was killed for its memory is not given the same amount of work at once again.
        model = replace(self._model, engine=engine_for_attempt(self._model.engine, int(order.get("attempt", 1))))
        analyzed = analyze_slide(slide, model, Job(**fields), rules=rules)
        return record_bytes(analyzed.record), analyzed.report_html


def engine_words(spec: EngineSpec) -> str:
    """Return what runs here, for the journal: library, precision, and how it is laid out over the processor."""
    layout = f", {spec.copies} x {spec.threads} threads" if spec.threads else ""
    return f"{spec.name} {spec.device} {spec.precision}{layout}, batches of {spec.max_batch}"


def trusted_key(path: str | None) -> bytes | None:
    """Return the configured public key; raises EdgeError MDSE-BUNDLE-010 when it cannot be read: a fault to be told."""
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-010", where=path, reason=error.strerror or str(error)) from error


def open_analyzer(settings: Mapping[str, Any]) -> SlideAnalyzer:
    """Return the analyzer that the settings name; raises EdgeError for a bundle that cannot be used."""
    module = test_module(settings)
    if module is None:
        return BundleAnalyzer(settings)
    _, _, function = settings["test_analyzer"].partition(":")
    factory: Callable[[Mapping[str, Any]], SlideAnalyzer] = getattr(module, function)
    return factory(settings)


def test_module(settings: Mapping[str, Any]) -> Any:
    """Return the module of a test's analyzer, None where there is none; raises EdgeError MDSE-DAEMON-009."""
    named = settings["test_analyzer"]
    if not named:
        return None
    if not os.environ.get(ALLOW_TEST_ANALYZER):
        raise EdgeError("MDSE-DAEMON-009", where=named, variable=ALLOW_TEST_ANALYZER)
    return importlib.import_module(named.partition(":")[0])


def failure_of(error: BaseException) -> dict[str, object]:
    """Return the message that tells the supervisor what went wrong and what kind of trouble it is.

    `rejected`: the slide's content, final. `failed` with `retry`: disk or memory, not the slide's fault.
    `failed` without: nobody knows; it counts as an attempt, and the worker is replaced.
    """
    if isinstance(error, EdgeError):
        kind = "rejected" if error.exit_status == EXIT_SLIDE_REJECTED else "failed"
        return {"kind": kind, "code": error.code, "text": str(error), "exit": error.exit_status, "retry": False}
    retry = isinstance(error, OSError)
    detail = "".join(traceback.format_exception(error))[-4000:]
    text = f"{type(error).__name__}: {error}"
    facts = {"code": "MDSE-DAEMON-006", "text": text, "exit": 70, "retry": retry, "errno": error_number_of(error)}
    return {"kind": "failed", **facts, "traceback": detail}


def serve(channel: Channel) -> None:
    """Open the models, then analyze one slide after the other."""
    message = channel.receive()
    if message is None:
        return
    try:
        analyzer = open_analyzer(dict(message.header))
    except Exception as error:  # noqa: BLE001 - the border of the process: whatever it is, the supervisor must hear it
        channel.send(failure_of(error))
        return
    channel.send({"kind": "ready", **analyzer.facts})
    while (order := channel.receive()) is not None:
        try:
            record, report = analyzer.analyze(dict(order.header))
        except Exception as error:  # noqa: BLE001 - as above
            answer = failure_of(error)
            channel.send(answer)
            if answer["kind"] == "failed" and not answer["retry"]:
                return  # an unforeseen error leaves a state that nobody vouches for: a fresh process takes over
        else:
            channel.send({"kind": "analyzed"}, (record, report))


def main(descriptor: int, parent_pid: int) -> int:
    """Run as a child of the supervisor."""
    return run_child(descriptor, parent_pid, serve, makes_code=True)
