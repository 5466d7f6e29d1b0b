"""The way that browsers take: the public address as it is seen from here, and certificates."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from shmastra_cloud.certificates import CertificateError, context_of, read_certificate
from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.reach import HEADER, PATH, REST_SECONDS, question

if TYPE_CHECKING:
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings

SECONDS = 5
SOON = dt.timedelta(days=14)
EXAMPLES = "See deploy/nginx.conf and deploy/Caddyfile."


@dataclass
class _Seen:
    """What came back from the public address, and when."""

    status: int
    told: dict[str, Any] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    expires: dt.datetime | None = None

    @property
    def held_back(self) -> bool:
        return self.times[-1] - self.times[0] < REST_SECONDS / 2


async def reach(settings: Settings, vault: Vault) -> Check:
    """Ask this cloud through its public address, and look at what arrived."""
    url = settings.public_url
    try:
        seen = await _ask(url, question(vault))
    except httpx.ConnectError as error:
        return _unreachable(url, error)
    except httpx.HTTPError as error:
        return warning("reach", f"{url}: {type(error).__name__}", "Does the proxy in front of it answer?")
    if seen.status == 421:
        return failed("reach", f"{url} arrives under another name", f"Pass the Host header on. {EXAMPLES}")
    if not seen.told:
        fix = "Does the name lead to this cloud, and does every machine of it have the same master key?"
        return failed("reach", f"{url} is answered by something else ({seen.status})", fix)
    return _judge(settings, seen)


def _unreachable(url: str, error: httpx.ConnectError) -> Check:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        fix = "Have browsers shown a certificate that they trust, with its whole chain (fullchain.pem)."
        return failed("reach", f"the certificate of {url} is not trusted: {cause.verify_message}", fix)
    fix = "Does its name resolve, and does something listen there? Some networks lead no machine to itself."
    return warning("reach", f"{url} cannot be connected to from here", fix)


def _judge(settings: Settings, seen: _Seen) -> Check:
    told, url = seen.told, settings.public_url
    if told["forwarded"] and not told["believed"]:
        fix = f"SHMASTRA_TRUSTED_PROXIES={told['peer']}, or the proxies' network"
        return warning("reach", f"{url}: all requests seem to come from the proxy {told['peer']}", fix)
    if settings.https and told["scheme"] != "https":
        fix = f"Have the proxy send X-Forwarded-For and X-Forwarded-Proto. {EXAMPLES}"
        return warning("reach", f"{url}: requests seem to come over plain http", fix)
    if seen.held_back:
        fix = f"Have the proxy pass answers on as they come. {EXAMPLES}"
        return warning("reach", f"{url}: the proxy holds streams back", fix)
    if seen.expires is not None and seen.expires - dt.datetime.now(dt.UTC) < SOON:
        text = f"{url}: its certificate expires on {seen.expires.date()}"
        return warning("reach", text, "Renew it; is what renews it running?")
    through = f", through {told['peer']}" if told["believed"] else ""
    until = f", certificate until {seen.expires.date()}" if seen.expires else ""
    return ok("reach", f"{url}{through}{until}")


async def _ask(url: str, asking: str) -> _Seen:
    trusting = ssl.create_default_context()
    async with (
        httpx.AsyncClient(verify=trusting, timeout=SECONDS, trust_env=False) as http,
        http.stream("GET", url + PATH, headers={HEADER: asking}) as answer,
    ):
        seen = _Seen(answer.status_code, expires=_expires(answer))
        if answer.status_code != 200 or "event-stream" not in answer.headers.get("content-type", ""):
            return seen
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                seen.times.append(time.monotonic())
                seen.told = seen.told or _arrived(line)
    return seen


def _arrived(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line.removeprefix("data: "))
    except ValueError:
        return {}
    wanted = {"peer", "scheme", "forwarded", "believed"}
    return told if isinstance(told, dict) and wanted <= set(told) else {}


def _expires(answer: httpx.Response) -> dt.datetime | None:
    shown = answer.extensions["network_stream"].get_extra_info("ssl_object")
    if shown is None:
        return None
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(shown.getpeercert()["notAfter"]), dt.UTC)


def certificate(settings: Settings) -> list[Check]:
    """Look at the certificate that the cloud shows itself; nothing where a proxy does."""
    if settings.tls_cert is None or settings.tls_key is None:
        return []
    try:
        context_of(settings.tls_cert, settings.tls_key)
        told = read_certificate(settings.tls_cert)
    except CertificateError as error:
        return [failed("certificate", str(error), "Correct SHMASTRA_TLS_CERT and SHMASTRA_TLS_KEY.")]
    host = urlsplit(settings.public_url).hostname or ""
    left = told.expires - dt.datetime.now(dt.UTC)
    text = f"{settings.tls_cert}: for {', '.join(told.names) or 'nobody'}, until {told.expires.date()}"
    if not told.is_for(host):
        return [failed("certificate", text, f"Have one made for {host}, or correct SHMASTRA_PUBLIC_URL.")]
    if left < dt.timedelta():
        return [failed("certificate", text, "It has expired: renew it. The cloud reads it again by itself.")]
    if left < SOON:
        return [warning("certificate", text, "Renew it; is what renews it running?")]
    return [ok("certificate", text)]
