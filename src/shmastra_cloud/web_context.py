"""What every route may ask for: the parts of one web process, and who is signed in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fastapi import HTTPException, Request

from shmastra_cloud.identity.attempts import Attempts
from shmastra_cloud.identity.links import hash_token
from shmastra_cloud.identity.sessions import Sessions, User, cookie_name
from shmastra_cloud.returns import sign_in_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import Response

    from httprelay import OpenStream, OpenStreams
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity.ways import Way
    from shmastra_cloud.mail import Post
    from shmastra_cloud.settings import Settings


@dataclass(frozen=True)
class WebContext:
    """The parts that the control plane's routes share."""

    settings: Settings
    pool: Pool
    sessions: Sessions
    ways: tuple[Way, ...] = ()
    post: Post | None = None

    @cached_property
    def attempts(self) -> Attempts:
        """The attempts to sign in, counted."""
        return Attempts(self.pool)


@dataclass(frozen=True)
class Admitted:
    """Somebody signed in who may open a stream, by which session, and when that was checked."""

    user: User
    session: bytes
    since: int
    streams: OpenStreams

    @contextmanager
    def stream(self, end: Callable[[], None]) -> Iterator[OpenStream]:
        """Count as an open stream; ``end`` is called when it is to end because he may have it no longer."""
        stream = self.streams.open(self.user.id, self.session, self.since)
        stream.tie(lambda _error: end())
        try:
            yield stream
        finally:
            self.streams.close(stream)


def context(request: Request) -> WebContext:
    """Return the process's context; a FastAPI dependency."""
    return cast("WebContext", request.app.state.context)


async def visitor(request: Request) -> User | None:
    """Return who is signed in, or None; a FastAPI dependency."""
    here = context(request)
    return await here.sessions.user(token_of(request))


def token_of(request: Request) -> str | None:
    """Return the token of a request's session cookie, if it has exactly one."""
    cookies = "; ".join(request.headers.getlist("cookie"))
    return session_token(cookies, https=context(request).settings.https)


async def signed_in(request: Request) -> User:
    """Return who is signed in; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session.
    """
    user = await visitor(request)
    if user is None:
        raise HTTPException(401, {"error": "Sign in first.", "code": "signed_out"})
    return user


async def admitted(request: Request) -> Admitted:
    """Return who is signed in and asks for a stream; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session.
    """
    streams = context(request).sessions.streams
    since = streams.news
    user = await signed_in(request)
    return Admitted(user, hash_token(token_of(request) or ""), since, streams)


def to_sign_in(request: Request) -> Response:
    """Send a visitor to the sign-in page, and keep where he wanted to go."""
    return sign_in_first(request, https=context(request).settings.https)


async def administrator(request: Request) -> User:
    """Return the admin who is signed in; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session, 404 for whoever is no admin.
    """
    user = await signed_in(request)
    if user.role != "admin":
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    return user


def session_token(cookies: str | None, *, https: bool) -> str | None:
    """Return the session's token out of a raw ``Cookie`` header; two different ones are none.

    Another port or a sibling host can toss a cookie of that name in; which one is ours can't be told.
    """
    wanted = cookie_name(https=https)
    tokens = set()
    for part in (cookies or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            tokens.add(value)
    return tokens.pop() if len(tokens) == 1 else None
