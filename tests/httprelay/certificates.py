"""Certificates for upstreams of tests, good and bad, made anew each time."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass
class Authority:
    """Signs certificates; ``file`` holds its own."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tests' authority")])
        made = self._builder(self._name, self._name, self._key, NOW + DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = self.folder / "authority.pem"
        self.file.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def serving(self, host: str = "127.0.0.1", *, expired: bool = False, own: bool = False) -> ssl.SSLContext:
        """Return what an upstream at ``host`` needs; ``own`` makes the certificate its own authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(host, expired=expired, own=own))
        return context

    def files(
        self, host: str = "127.0.0.1", *, expired: bool = False, own: bool = False
    ) -> tuple[Path, Path]:
        """Make a certificate and its key anew, in the same files for the same host."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)]
        issuer = name if own else self._name
        builder = self._builder(issuer, name, key, NOW - DAY if expired else NOW + DAY)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        cert, private = (self.folder / f"{host}-{expired}-{own}.{ending}" for ending in ("pem", "key"))
        cert.write_bytes(_pem(builder.sign(key if own else self._key, hashes.SHA256())))
        private.touch(mode=0o600)
        private.write_bytes(_private(key))
        return cert, private

    @staticmethod
    def _builder(
        issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: dt.datetime
    ) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=NOW - 2 * DAY,
            not_valid_after=until,
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
