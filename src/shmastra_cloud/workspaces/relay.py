"""``/api/mastra/*``: from the browser into the user's own sandbox, resuming it first where that is right."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from httprelay import (
    ClientGone,
    ConnectFailed,
    RelayError,
    Revoked,
    Stopping,
    UpstreamTimeout,
    relay,
    safe_path,
)
from shmastra_cloud.identity import session_hash
from shmastra_cloud.origins import header_map, is_foreign, is_same_origin
from shmastra_cloud.web_context import session_token
from shmastra_cloud.workspaces.call import Call, NotRunning
from shmastra_cloud.workspaces.dial import into_sandbox, out_of_sandbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from uuid import UUID

    from httprelay import OpenStream, Pool
    from shmastra_cloud.activity import Activity
    from shmastra_cloud.identity import Sessions
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.workspaces.dial import Dial, Headers
    from shmastra_cloud.workspaces.resume import Resumer
    from shmastra_cloud.workspaces.store import Workspace
    from shmastra_cloud.workspaces.watch import Watch

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

# What a browser would run, apply or show inside of one of our pages (destinations of the Fetch standard).
PARTS_OF_PAGES = frozenset((
    "audioworklet", "embed", "fencedframe", "frame", "iframe", "json", "manifest", "object", "paintworklet",
    "script", "serviceworker", "sharedworker", "style", "webidentity", "worker", "xslt",
))  # fmt: skip
WAIT_SECONDS = 30.0
RESTART_SECONDS = 6.0
RESTART_POLL_SECONDS = 0.1


class Refused(Exception):
    """A request that gets an answer of our own."""

    def __init__(self, status: int, code: str, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


class MastraRelay:
    """The ASGI application behind ``/api/mastra/``."""

    def __init__(  # noqa: PLR0913 -- it joins this many parts
        self,
        *,
        settings: Settings,
        sessions: Sessions,
        watch: Watch,
        resumer: Resumer,
        activity: Activity,
        dial: Dial,
        pool: Pool,
    ) -> None:
        self._settings, self._sessions, self._watch = settings, sessions, watch
        self._resumer, self._activity, self._dial, self._pool = resumer, activity, dial, pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        stream: OpenStream | None = None
        try:
            stream = await self._admit(scope)
            workspace = await self._ready(stream, scope["method"])
            await self._pass(scope, receive, send, stream, workspace)
        except Refused as refused:
            await _answer(send, refused)
        except ClientGone:
            return
        except RelayError as error:
            log.info("relaying to a sandbox failed: %s", type(error).__name__)
            await _answer(send, _as_refusal(error))
        finally:
            if stream is not None:
                self._sessions.streams.close(stream)

    async def _admit(self, scope: Scope) -> OpenStream:
        """Let a request in; what is let in can be cut from then on, and is to be closed."""
        headers, since = header_map(scope["headers"]), self._sessions.streams.news
        token = session_token(headers.get("cookie"), https=self._settings.https)
        user = await self._sessions.user(token)
        if user is None or token is None:
            raise Refused(401, "signed_out", "Sign in first.")
        public_url = self._settings.public_url
        if not is_same_origin(scope["method"], headers, public_url) or is_foreign(headers, public_url):
            raise Refused(403, "cross_origin", "This request does not come from a page of this cloud.")
        if headers.get("sec-fetch-dest") in PARTS_OF_PAGES:
            raise Refused(403, "not_a_page", "What a sandbox sends is data, never a part of a page.")
        if not safe_path(scope["raw_path"]):
            raise Refused(400, "bad_path", "This path could be read in two ways.")
        if self._activity.counts(user.id, scope["method"]):
            self._activity.note(user.id, "studio")
        return self._sessions.streams.open(user.id, session_hash(token), since)

    async def _ready(self, stream: OpenStream, method: str) -> Workspace:
        """Return the workspace once it is ready, within the time that a browser waits."""
        end, user_id = time.monotonic() + WAIT_SECONDS, cast("UUID", stream.owner)
        while True:
            if stream.error is not None:
                raise stream.error
            workspace = await self._watch.find(user_id)
            if workspace is None:
                raise Refused(404, "no_workspace", "There is no workspace yet. Open /workspace first.")
            if workspace.status == "ready" and workspace.sandbox_id is not None:
                return workspace
            if workspace.status == "broken":
                raise Refused(
                    503, "broken", "The workspace is broken; /workspace says why and what helps.", 30
                )
            left = end - time.monotonic()
            if left <= 0:
                raise Refused(
                    503, workspace.status, "The workspace is not ready yet; /workspace shows it.", 5
                )
            if workspace.status == "paused":
                if not self._activity.counts(user_id, method):
                    raise Refused(503, "paused", "The workspace is paused; opening it wakes it up.", 30)
                await self._resumer.resume(user_id, "a request")
                if await self._watch_moved(user_id, workspace):
                    continue
            await self._watch.wait(user_id, min(left, 1.0))

    async def _watch_moved(self, user_id: UUID, before: Workspace) -> bool:
        self._watch.changed(str(user_id))
        now = await self._watch.find(user_id)
        return now is not None and now.status != before.status

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, stream: OpenStream, workspace: Workspace
    ) -> None:
        user_id = cast("UUID", stream.owner)
        streaming = scope["method"] == "POST"
        call = Call(receive, send)
        if streaming:
            self._activity.opened(user_id)
        try:
            try:
                await self._patiently(scope, call, workspace, stream)
            except NotRunning as error:
                if not call.rewind():
                    raise Refused(503, "paused", "The workspace had been paused. Try again.", 1) from error
                await self._resumer.resume(user_id, "a request found it not running")
                self._watch.changed(str(user_id))
                await self._relay(scope, call, await self._ready(stream, "POST"), stream)
        finally:
            if streaming:
                self._activity.closed(user_id)

    async def _patiently(self, scope: Scope, call: Call, workspace: Workspace, stream: OpenStream) -> None:
        """Relay; a dev server that does not listen may just be starting anew, with code that was changed."""
        end = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                return await self._relay(scope, call, workspace, stream)
            except ConnectFailed:
                if time.monotonic() > end or not call.rewind():
                    raise
            await asyncio.sleep(RESTART_POLL_SECONDS)

    async def _relay(self, scope: Scope, call: Call, workspace: Workspace, stream: OpenStream) -> None:
        sandbox_id = workspace.sandbox_id or ""
        query = scope["query_string"]
        ended = await relay(
            scope,
            call.receive,
            call.send,
            pool=self._pool,
            target=self._dial.target(sandbox_id, workspace.sandbox_host),
            path=scope["raw_path"] + (b"?" + query if query else b""),
            headers=into_sandbox(
                scope["headers"],
                self._dial.headers(sandbox_id, workspace.traffic_token),
                workspace.mastra_token,
            ),
            on_response=_confine,
            on_cut=call.last_event,
            observer=call,
            stream=stream,
        )
        if ended == "upstream_error" and stream.error is None:
            self._resumer.look_after(workspace)


def _confine(_status: int, headers: Headers) -> Headers:
    return out_of_sandbox(headers)


def _as_refusal(error: RelayError) -> Refused:
    if isinstance(error, Revoked):
        return Refused(401, "signed_out", "Sign in first.")
    if isinstance(error, Stopping):
        return Refused(503, "cloud_restarting", "The cloud is being restarted. Try again.", 1)
    if isinstance(error, UpstreamTimeout):
        return Refused(504, "sandbox_silent", "The sandbox did not answer in time.")
    return Refused(
        503, "sandbox_unreachable", "The sandbox cannot be reached; /workspace shows its state.", 5
    )


async def _answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.text, "code": refused.code}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
