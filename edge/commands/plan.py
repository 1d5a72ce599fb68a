"""edge-plan: build the TensorRT plan of a bundle for this machine's GPU, by hand and without TensorFlow."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.engines.choose import EngineChoice

_EPILOG = """\
examples
  edge-plan build BUNDLE --public-key public.pem --plans /var/lib/mds-edge/cache/plans
        for the GPU of this machine; proved on the golden cells, then kept where the daemon looks
        (run it as the daemon's user: sudo -u mds-edge edge-plan build ...)
  edge-plan build BUNDLE --for SM86 SM89 --plans plans/
        for GPUs that are not here, with TensorRT for RTX; no GPU is needed, and nothing is proved
  edge-plan key BUNDLE
        what a plan for this machine depends on

A plan belongs to one GPU model, driver, TensorRT and bundle. The daemon builds it by itself when one of
them changes; slides run on the CPU meanwhile.

exit status  0 done   2 usage   4 the network or the plan is refused   75 no GPU, or the plan cannot be written
             78 a library is missing"""

# What writing says of a full disk or of a folder that is not this user's; anything else failed while building.
_NOT_WRITTEN = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
)
_DEMO_BUNDLE = Path(__file__).resolve().parent.parent / "demo" / "bundle"


def parser() -> argparse.ArgumentParser:
    """Return the parser of edge-plan."""
    made = argparse.ArgumentParser(
        prog="edge-plan",
        description="Builds the TensorRT plan of a bundle's network, and says what it depends on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="{build,key}")
    build = actions.add_parser("build", help="build the plan, prove it and keep it")
    build.add_argument("--plans", type=Path, default=Path("plans"), metavar="DIR", help="where (default: ./plans)")
    build.add_argument("--batch-sizes", type=_sizes, metavar="N,N", help="default: 1,16,64")
    build.add_argument("--for", dest="targets", nargs="+", default=[], metavar="SMxx", help="GPUs that are not here")
    for action in (build, actions.add_parser("key", help="print what a plan for this machine depends on")):
        action.add_argument("bundle", type=Path, metavar="BUNDLE", nargs="?", default=_DEMO_BUNDLE)
        action.add_argument("--public-key", type=Path, metavar="public.pem", help="the key that this site trusts")
        action.add_argument(
            "--engine", default="gpu", metavar="E", help="gpu, tensorrt, rtx, or with a precision: gpu-fp16"
        )
        action.add_argument("--json", action="store_true", help="print the facts as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run edge-plan and return its exit status."""
    options = parser().parse_args(argv)
    return run_command(lambda: _run(options))


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 1024 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of batch sizes such as 1,16,64")
    return tuple(sorted({int(part) for part in parts}))


def _run(options: argparse.Namespace) -> int:
    from edge.bundle.reader import open_bundle

    bundle = open_bundle(options.bundle, public_key=_key(options))
    if options.action == "key":
        facts = _key_facts(bundle, _choice(bundle, options))
    else:
        try:
            facts = _build_elsewhere(bundle, options) if options.targets else _build_here(bundle, options)
        except OSError as error:
            if error.errno not in _NOT_WRITTEN:
                raise
            raise EdgeError("MDSE-PLAN-008", where=str(options.plans), reason=error.strerror or str(error)) from error
    text = "\n".join(f"{name.replace('_', ' '):20} {value}" for name, value in facts.items())
    print(json.dumps(facts, indent=1) if options.json else text)
    return EXIT_DONE


def _key(options: argparse.Namespace) -> bytes | None:
    from edge.demo import DEMO_PUBLIC_KEY

    path = options.public_key or (DEMO_PUBLIC_KEY if options.bundle == _DEMO_BUNDLE else None)
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-010", where=str(path), reason=error.strerror or str(error)) from error


def _choice(bundle: Bundle, options: argparse.Namespace) -> EngineChoice:
    from edge.engines.choose import choose_engine
    from edge.engines.installed import libraries_of_machine

    _require_gpu_request(options.engine)
    return choose_engine(bundle.manifest.engines, libraries_of_machine(), options.engine)


def _require_gpu_request(request: str) -> None:
    if request.partition("-")[0] not in ("gpu", "tensorrt", "rtx"):
        raise EdgeError("MDSE-ENGINE-002", where=request)


def _key_facts(bundle: Bundle, choice: EngineChoice) -> dict[str, Any]:
    from edge.engines.plan_cache import plan_facts
    from edge.gpu_plans import TOOLS, plan_key

    device = TOOLS.device()
    try:
        return plan_facts(plan_key(bundle, choice, TOOLS.binding(choice.library), device))
    finally:
        device.close()


def _build_here(bundle: Bundle, options: argparse.Namespace) -> dict[str, Any]:
    from edge.engines.plan_cache import plan_facts
    from edge.engines.tensorrt_plan import BATCH_SIZES
    from edge.gpu_plans import build_proved_plan

    choice, sizes = _choice(bundle, options), options.batch_sizes or BATCH_SIZES
    made = build_proved_plan(bundle, choice, options.plans, batch_sizes=sizes, report=_report)
    return plan_facts(made.key) | {
        "file": str(made.path),
        "plan_bytes": made.plan_bytes,
        "build_s": round(made.build_s, 1),
        "golden_cells": made.proof.cells,
        "golden_flipped": f"{made.proof.flipped} of {made.proof.clear_cut} clear-cut cells",
        "removed": list(made.removed),
    }


def _build_elsewhere(bundle: Bundle, options: argparse.Namespace) -> dict[str, Any]:
    """Build for compute capabilities by name; only TensorRT for RTX can."""
    from edge.engines.choose import choose_engine
    from edge.engines.plan_cache import write_foreign_plan
    from edge.engines.tensorrt_plan import BATCH_SIZES
    from edge.gpu_plans import build_foreign_plan

    _require_gpu_request(options.engine)
    library, dash, precision = options.engine.partition("-")
    if library == "tensorrt":
        raise EdgeError("MDSE-PLAN-009", where=options.engine)
    choice = choose_engine(bundle.manifest.engines, {"rtx"}, f"rtx{dash}{precision}")
    sizes = options.batch_sizes or BATCH_SIZES
    built = build_foreign_plan(bundle, choice, tuple(options.targets), batch_sizes=sizes, report=_report)
    name = f"{bundle.manifest.name}-{choice.precision}-{'-'.join(options.targets)}.plan"
    return {
        "file": str(write_foreign_plan(options.plans, name, built.plan)),
        "network": choice.file,
        "targets": list(options.targets),
        "batch_sizes": list(sizes),
        "plan_bytes": len(built.plan),
        "build_s": round(built.build_s, 1),
        "proof": "none: this plan has not run; it is proved on the machine that runs it",
    }


def _report(elapsed_s: float, last_s: float | None) -> None:
    before = f"; the last one took {last_s:.0f} s" if last_s else ""
    print(f"building the plan: {elapsed_s:.0f} s{before}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
