"""A certificate authority of the benchmarks' own, and the certificate of a provider on loopback."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority to trust, and the provider's certificate and key."""

    authority: Path
    certificate: Path
    key: Path


def make(folder: Path) -> Certificates:
    """Make an authority, and with it a certificate for ``localhost`` and ``127.0.0.1``, both valid for a day.

    The keys are on P-256, as those of the providers are.
    """
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _signed(
        _unsigned("Shmastra benchmarks", root_key, authority=True), "Shmastra benchmarks", root_key
    )
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    wanted = _unsigned("localhost", key, authority=False).add_extension(names, critical=False)
    leaf = _signed(wanted, "Shmastra benchmarks", root_key)
    found = Certificates(folder / "ca.pem", folder / "provider.pem", folder / "provider.key")
    found.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    found.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    found.key.touch(0o600)
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found


def _unsigned(name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed(
    wanted: x509.CertificateBuilder, issuer: str, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return wanted.issuer_name(_name(issuer)).add_extension(known, critical=False).sign(key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
