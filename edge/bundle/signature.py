"""Ed25519 signatures over a bundle's manifest (RFC 8032). The only file that imports cryptography.

    generate_key_pair   a new key pair as PEM, for edge-bundle keygen
    sign_manifest       the content of manifest.sig: one base64 line over the exact bytes of manifest.json
    verify_signature    raises EdgeError when the signature was not made with the trusted key over these bytes

Keys travel as PEM. A signature is deterministic: the same manifest and key give the same manifest.sig.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.errors import EdgeError

_SIGNATURE_BYTES = 64


def generate_key_pair() -> tuple[bytes, bytes]:
    """Return (private PEM in PKCS#8 without a password, public PEM as SubjectPublicKeyInfo)."""
    private = Ed25519PrivateKey.generate()
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private_pem, _pem_from_public_key(private.public_key())


def public_from_private(private_pem: bytes) -> bytes:
    """Return the public PEM that belongs to a private PEM. Raises EdgeError MDSE-BUNDLE-010 for another kind of key."""
    return _pem_from_public_key(_private_key(private_pem).public_key())


def sign_manifest(manifest: bytes, private_pem: bytes) -> bytes:
    """Return the content of manifest.sig for these manifest bytes: 64 signature bytes as one base64 line."""
    return base64.b64encode(_private_key(private_pem).sign(manifest)) + b"\n"


def verify_signature(manifest: bytes, signature_line: bytes, public_pem: bytes, *, where: str = "manifest.sig") -> None:
    """Raise EdgeError MDSE-BUNDLE-009 unless `signature_line` is the trusted key's signature over `manifest`.

    The base64 line must be the canonical one: any changed byte of manifest.sig is refused, even one that decodes to
    the same signature. A public key that cannot be used raises MDSE-BUNDLE-010.
    """
    public = _public_key(public_pem)
    try:
        signature = base64.b64decode(signature_line.removesuffix(b"\n"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EdgeError("MDSE-BUNDLE-009", where=where, reason="it is not one line of base64") from error
    if len(signature) != _SIGNATURE_BYTES or base64.b64encode(signature) + b"\n" != signature_line:
        raise EdgeError("MDSE-BUNDLE-009", where=where, reason="it is not one line of 64 bytes in base64")
    try:
        public.verify(signature, manifest)
    except InvalidSignature as error:
        reason = "it was not made with the trusted key over this manifest.json"
        raise EdgeError("MDSE-BUNDLE-009", where=where, reason=reason) from error


def _pem_from_public_key(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _private_key(private_pem: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EdgeError("MDSE-BUNDLE-010", where="private key", reason=str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EdgeError("MDSE-BUNDLE-010", where="private key", reason="it is not an Ed25519 key")
    return key


def _public_key(public_pem: bytes) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(public_pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EdgeError("MDSE-BUNDLE-010", where="public key", reason=str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise EdgeError("MDSE-BUNDLE-010", where="public key", reason="it is not an Ed25519 key")
    return key
