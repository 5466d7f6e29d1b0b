"""The certificate that a web process shows: read from files, checked, and read anew when they are renewed.

CertificateError    the files cannot be used; the message names the file, what is wrong with it, and the fix
"""

from __future__ import annotations

import asyncio
import datetime as dt
import fnmatch
import logging
import ssl
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0


class CertificateError(Exception):
    """The files cannot be used."""


@dataclass(frozen=True)
class Told:
    """What a certificate says of itself: whom it is for, and until when."""

    names: tuple[str, ...]
    expires: dt.datetime

    def is_for(self, host: str) -> bool:
        """Tell whether it is for a host; ``*`` stands for one label (RFC 6125, 6.4.3)."""
        host = host.lower()
        return any(
            name == host or (name.startswith("*.") and fnmatch.fnmatch(host.partition(".")[2], name[2:]))
            for name in self.names
        )


class Certificate:
    """A certificate with its key; connections that are open go on when it changes.

    Each handshake is given the context that was read last, so the files of one are never mixed with those of
    another.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._seen = self._stamp()
        self._current = context_of(cert, key)
        self.context = context_of(cert, key)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def reload(self) -> None:
        """Read the files again; where they cannot be used, go on with what there is."""
        self._seen = self._stamp()
        try:
            self._current = context_of(self._cert, self._key)
        except CertificateError as error:
            log.error("the renewed certificate is not used, the old one is: %s", error)  # noqa: TRY400
        else:
            log.info("the certificate was read again: %s", self._cert)

    async def watch(self, seconds: float = LOOK_SECONDS) -> None:
        """Read the files again whenever they have changed, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self._stamp() != self._seen:
                self.reload()

    def _stamp(self) -> tuple[Any, ...]:
        found: list[Any] = []
        for path in (self._cert, self._key):
            try:
                told = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((told.st_ino, told.st_mtime_ns, told.st_size))
        return tuple(found)


def context_of(cert: Path, key: Path) -> ssl.SSLContext:
    """Return a server's context for a chain of certificates and its key, both PEM.

    Raises:
        CertificateError: one of them cannot be used.
    """
    told = read_certificate(cert)
    if told.expires < dt.datetime.now(dt.UTC):
        log.warning("%s has expired on %s: browsers will refuse it", cert, told.expires.date())
    _check_key(key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])

    def no_password() -> str:
        raise CertificateError(f"{key} is encrypted: decrypt it, with `openssl pkey -in {key} -out PLAIN`")

    try:
        context.load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"{key} is not the key of {cert}: set the two that belong together"
            ) from None
        raise CertificateError(
            f"{key} holds no private key in PEM ({error.reason or 'unreadable'})"
        ) from None
    return context


def read_certificate(path: Path) -> Told:
    """Return what the first certificate in a PEM file says of itself.

    Raises:
        CertificateError: there is none.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(_read(path, "SHMASTRA_TLS_CERT"))
    except ValueError:
        raise CertificateError(
            f"{path} holds no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----, and holds the "
            "whole chain (certbot calls it fullchain.pem)"
        ) from None
    return Told(_names(found[0]), found[0].not_valid_after_utc)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read ({error.strerror}); {variable} names it") from None


def _check_key(path: Path) -> None:
    """Refuse a key that everybody on the machine may read; a group may, as Debian's ``ssl-cert`` does."""
    _read(path, "SHMASTRA_TLS_KEY")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise CertificateError(f"{path} is open to others (mode {mode:04o}): chmod 640 {path}")
