"""edge-bundle: make a key pair, sign a bundle, verify one, or show what one holds."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle

_EPILOG = """\
examples
  edge-bundle keygen --out keys/         private.pem stays with the maker; public.pem goes to every site
  edge-bundle sign model-bundle --key keys/private.pem
  edge-bundle verify model-bundle --public-key keys/public.pem
  edge-bundle show model-bundle          what it decides, what it was proved with, and what it is for

exit status  0 done   2 usage   4 the bundle is not as its manifest says   78 the key cannot be used"""

_DEMO_BUNDLE = Path(__file__).resolve().parent.parent / "demo" / "bundle"
_SIGNATURE_NAME = "manifest.sig"


def parser() -> argparse.ArgumentParser:
    """Return the parser of edge-bundle."""
    made = argparse.ArgumentParser(
        prog="edge-bundle",
        description="Keys, signatures and contents of bundles. Nothing of a bundle is run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="{keygen,sign,verify,show}")
    keygen = actions.add_parser(
        "keygen",
        help="make a key pair: private.pem and public.pem",
        description="Makes an Ed25519 key pair. private.pem (mode 0600) signs and stays with the maker, off the edge "
        "machines; public.pem goes into [bundle] public_key of every site. Nothing is ever written over.",
    )
    keygen.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for the two files (default: here)"
    )
    sign = actions.add_parser(
        "sign",
        help="verify a bundle and write manifest.sig",
        description="Checks every byte of a bundle against its manifest, then signs the manifest, which fixes them. "
        "An earlier signature is replaced.",
    )
    sign.add_argument("bundle", type=Path, metavar="BUNDLE")
    sign.add_argument("--key", type=Path, required=True, metavar="private.pem")
    for name, text, more in (
        (
            "verify",
            "check every byte, and the signature where a key is given",
            "Makes the checks that every site makes before it opens a bundle: schema, paths, links, sizes, signature, "
            "digests, networks that point at other files. Nothing of the bundle is run.",
        ),
        (
            "show",
            "verify, then print what the bundle holds",
            "Verifies the bundle, then says what it is for, which engines were proved and how, and what it assesses.",
        ),
    ):
        action = actions.add_parser(name, help=text, description=more)
        action.add_argument("bundle", type=Path, metavar="BUNDLE", nargs="?", default=_DEMO_BUNDLE)
        action.add_argument("--public-key", type=Path, metavar="public.pem", help="the key that this site trusts")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="print the facts as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run edge-bundle and return its exit status."""
    options = parser().parse_args(argv)
    run = {"keygen": _keygen, "sign": _sign, "verify": _verify, "show": _show}[options.action]
    return run_command(lambda: run(options))


def _keygen(options: argparse.Namespace) -> int:
    from edge.bundle.signature import generate_key_pair

    private, public = options.out / "private.pem", options.out / "public.pem"
    try:
        options.out.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-020", where=str(options.out), reason=os.strerror(error.errno or 0)) from error
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise EdgeError(
                "MDSE-BUNDLE-020", where=str(path), reason="a file is there already; a lost key cannot be made again"
            )
    private_pem, public_pem = generate_key_pair()
    _write_new(private, private_pem, 0o600)
    _write_new(public, public_pem, 0o644)
    facts = {"private_key": str(private), "public_key": str(public)}
    _print(
        options, facts, [f"{private}  keep it off the edge machines", f"{public}  for [bundle] public_key of each site"]
    )
    return EXIT_DONE


def _sign(options: argparse.Namespace) -> int:
    from edge.bundle.digest import sha256_hex
    from edge.bundle.key_file import read_key
    from edge.bundle.reader import MANIFEST_NAME, open_bundle
    from edge.bundle.signature import public_from_private, sign_manifest, verify_signature

    private = read_key(options.key)
    public = public_from_private(private)
    partial = options.bundle / f".{_SIGNATURE_NAME}.partial"
    _remove(partial)  # of a signing that was cut short: it is no part of the bundle that is checked now
    bundle = open_bundle(options.bundle, public_key=None)  # only a bundle that is whole gets a signature
    manifest = (options.bundle / MANIFEST_NAME).read_bytes()
    if sha256_hex(manifest) != bundle.digest:
        raise EdgeError("MDSE-BUNDLE-020", where=str(options.bundle), reason="it changed while it was being checked")
    signature = sign_manifest(manifest, private)
    verify_signature(manifest, signature, public)
    try:
        _write_new(partial, signature, 0o644)
        _replace(partial, options.bundle / _SIGNATURE_NAME)
    finally:
        _remove(partial)
    signed = open_bundle(options.bundle, public_key=public)
    if signed.digest != bundle.digest:
        raise EdgeError("MDSE-BUNDLE-020", where=str(options.bundle), reason="it changed while it was being signed")
    _print(options, {"digest": signed.digest, "signed": True}, [f"signed {options.bundle}, digest {signed.digest}"])
    return EXIT_DONE


def _verify(options: argparse.Namespace) -> int:
    bundle = _open(options)
    signature = _signature_text(options, bundle)
    facts = {"digest": bundle.digest, "files": len(bundle.contents), "signature": signature}
    _print(
        options, facts, [f"{len(bundle.contents)} files are as the manifest says, digest {bundle.digest}", signature]
    )
    return EXIT_DONE


def _show(options: argparse.Namespace) -> int:
    bundle = _open(options)
    facts = facts_from_bundle(bundle, _signature_text(options, bundle))
    _print(options, facts, lines_from_facts(facts))
    return EXIT_DONE


def facts_from_bundle(bundle: Bundle, signature: str) -> dict[str, Any]:
    """Return what a person asks of a bundle, as plain values."""
    manifest = bundle.manifest
    parity = json.loads(bundle.read("parity.json")) if "parity.json" in bundle else {}
    evidence = {
        kind: sum(1 for value in manifest.evidence.values() if value == kind) for kind in ("real", "drawn", "none")
    }
    return {
        "name": manifest.name,
        "version": manifest.version,
        "intended_use": manifest.intended_use,
        "digest": bundle.digest,
        "signature": signature,
        "image": manifest.image.model_dump(),
        "embedding_dim": manifest.embedding_dim,
        "types": len(manifest.types),
        "findings": len(manifest.findings),
        "parameters": len(manifest.parameters),
        "evidence": evidence,
        "engines": [engine.model_dump() for engine in manifest.engines],
        "temperature": manifest.decision.temperature,
        "assessments": [
            {**spec.model_dump(), "cohort_simulated": manifest.cohort[spec.target].simulated}
            for spec in manifest.assessments
        ],
        "parity": {
            key: parity.get(key) for key in ("engine", "n", "top1_agreement", "mean_abs_dp", "gates", "verdict")
        },
        "files": {name: len(data) for name, data in sorted(bundle.contents.items())},
    }


def lines_from_facts(facts: Mapping[str, Any]) -> list[str]:
    """Return the facts as lines for people."""
    lines = [
        f"{facts['name']} {facts['version']}, for {facts['intended_use']} use",
        f"digest     {facts['digest']}",
        f"signature  {facts['signature']}",
        "image      {size} px, decoder {decoder}, resize {resize}".format(**facts["image"]),
        f"outputs    {facts['types']} types, {facts['findings']} findings, {facts['embedding_dim']} features; "
        f"{facts['parameters']} slide parameters",
        "evidence   " + ", ".join(f"{count} {kind}" for kind, count in facts["evidence"].items()),
    ]
    lines += [f"engine     {e['device']} {e['precision']} {e['file']}: {e['proof']}" for e in facts["engines"]]
    lines += [f"proof      {_certificate_text(facts['parity'])}"] if facts["parity"]["engine"] else []
    for spec in facts["assessments"]:
        simulated = ", trained on SIMULATED slides" if spec["cohort_simulated"] else ""
        lines.append(
            f"assesses   {spec['target']}: {spec['positive']} against {spec['negative']}, "
            f"threshold {spec['threshold']}{simulated}"
        )
    if not facts["assessments"]:
        lines.append("assesses   nothing: it counts cells and findings only")
    return lines + [f"{size:>12,}  {name}" for name, size in facts["files"].items()]


def _certificate_text(parity: Mapping[str, Any]) -> str:
    """One line about the engine that runs by default; older bundles have no bars over all cells."""
    if not parity["n"]:
        return f"{parity['verdict']}: no labelled cells were given ({parity['engine']})"
    missed = [name for name, gate in (parity["gates"] or {}).items() if gate["verdict"] != "PROVEN"]
    bars = f"; not proven over all cells: {', '.join(missed)}" if missed else ""
    return f"{parity['verdict']}: {100 * parity['top1_agreement']:.2f} % of {parity['n']:,} views agree{bars}"


def _open(options: argparse.Namespace) -> Bundle:
    from edge.bundle.key_file import read_public_key
    from edge.bundle.reader import open_bundle

    return open_bundle(options.bundle, public_key=read_public_key(options.public_key))


def _signature_text(options: argparse.Namespace, bundle: Bundle) -> str:
    if bundle.signed_by_trusted_key:
        return f"made with the key in {options.public_key}"
    present = (options.bundle / _SIGNATURE_NAME).is_file()
    return "there is one, not checked: give --public-key" if present else "none"


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet; its mode is set before its content is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-020", where=str(path), reason=os.strerror(error.errno or 0)) from error


def _replace(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-020", where=str(target), reason=os.strerror(error.errno or 0)) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return  # it cannot be there; what is in the folder's place is named when the bundle is opened
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-020", where=str(path), reason=os.strerror(error.errno or 0)) from error


def _print(options: argparse.Namespace, facts: Mapping[str, Any], lines: Sequence[str]) -> None:
    print(json.dumps(facts, indent=1, sort_keys=True) if options.json else "\n".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
