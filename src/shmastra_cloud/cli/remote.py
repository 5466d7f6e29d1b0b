"""A cloud elsewhere, asked over HTTPS with a token; and in what words it does not answer."""

from __future__ import annotations

import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING

import httpx

from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.credentials import Credential, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "/api/manage"
OTHER_VERSION = "x-shmastra-version"


class Elsewhere(httpx.BaseTransport):
    """Sends what is meant for the admin's socket to a cloud elsewhere; redirects are not followed."""

    def __init__(self, url: str, credential: Credential) -> None:
        self._url, self._token = httpx.URL(url), credential.token
        self._inner = transport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and turn what only a cloud elsewhere can answer into an error."""
        request.url = self._url.copy_with(raw_path=PREFIX.encode() + request.url.raw_path)
        request.headers["host"] = request.url.netloc.decode()
        request.headers["authorization"] = f"Bearer {self._token}"
        answer = self._inner.handle_request(request)
        check(str(self._url), answer.status_code, answer.headers)
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._inner.close()


def transport() -> httpx.HTTPTransport:
    """Return what trusts the machine's authorities, as `SSL_CERT_FILE` and `SSL_CERT_DIR` name them."""
    return httpx.HTTPTransport(verify=ssl.create_default_context(), retries=1)


def credential_for(url: str) -> Credential:
    """Return the token that is stored for a cloud.

    Raises:
        Failed: there is none.
    """
    found = stored().get(url)
    if found is None:
        raise Failed(f"You are not logged in at {url}. `shmastra login {url}` logs you in.")
    return found


def check(url: str, status: int, headers: httpx.Headers) -> None:
    """Look at what an answer says of the cloud itself.

    Raises:
        Failed: it is elsewhere, or is no cloud of a version that can be asked.
    """
    if 300 <= status < 400:
        target = headers.get("location", "")
        raise Failed(f"{url} sends on to {target[:200]!r}. Use the address where the cloud itself answers.")
    json = headers.get("content-type", "").startswith("application/json")
    if status in (404, 405) and not json:
        raise Failed(f"{url} does not know what was asked: it is no Shmastra Cloud, or one that is too old.")


def versions(headers: httpx.Headers) -> str:
    """Return a sentence where the cloud is of another version than this command line, else nothing."""
    theirs, ours = headers.get(OTHER_VERSION), version("shmastra-cloud")
    if theirs is None or theirs == ours:
        return ""
    return (
        f" The cloud is of version {theirs[:40]!r}, this command line of {ours!r}: they may not understand "
        "each other."
    )


def unreachable(url: str, error: httpx.HTTPError) -> Failed:
    """Return why a cloud elsewhere cannot be asked."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(
                f"The certificate of {url} cannot be trusted ({cause.verify_message}). Is the address right? "
                "A certificate of your own authority is trusted where SSL_CERT_FILE names that."
            )
        if isinstance(cause, ssl.SSLError):
            return Failed(f"{url} does not speak TLS as it should. Is the address right?")
    if isinstance(error, httpx.TimeoutException):
        return Failed(f"{url} did not answer in time. Try again in a moment.")
    return Failed(f"{url} cannot be reached ({type(error).__name__}). Is the address right, and does it run?")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
