"""Whose a connected account at Composio is: asked with the real key, remembered for a minute."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from httprelay import RelayError, relay
from shmastra_cloud.gateway.composio import account_in, has_items, new_sign_in, user_of
from shmastra_cloud.gateway.errors import NotOwned, OwnershipUnknown, RouteRefused

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from httprelay import Pool
    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.providers import Provider

REMEMBERED_SECONDS = 60.0
LOOK_SECONDS = 10.0
MAX_ANSWER_BYTES = 1024 * 1024


class Accounts:
    """Owners of connected accounts."""

    def __init__(self, pool: Pool, *, bound: int = 10_000, clock: Callable[[], float] | None = None) -> None:
        self._pool, self._bound = pool, bound
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def hold(self, provider: Provider, name: str, user: str) -> None:
        """Let a user's own account pass.

        Raises:
            NotOwned: it is another's, or nobody's: that is not told.
            OwnershipUnknown: Composio cannot tell now.

        """
        owner, until = self._known.get(name, ("", float("-inf")))
        if until < self._clock():
            owner = await self._ask(provider, name)
        if owner != user:
            raise NotOwned("The connected account is not yours, or there is none.")

    async def hold_path(self, provider: Provider, method: str, path: bytes, user: str) -> None:
        """Let a path name only a user's own account; raises as :meth:`hold`."""
        name = account_in(method, path)
        if name is not None:
            await self.hold(provider, name, user)

    async def hold_body(self, provider: Provider, path: bytes, body: Body, user: str) -> None:
        """Let a body name only a user's own accounts; raises as :meth:`hold` and :meth:`hold_first`."""
        for name in body.accounts:
            await self.hold(provider, name, user)
        toolkit = new_sign_in(path, body.fields)
        if toolkit is not None:
            await self.hold_first(provider, toolkit)

    async def hold_first(self, provider: Provider, toolkit: str) -> None:
        """Let a way to sign in be made only where a toolkit has none, so that nobody fills the list of all.

        Raises:
            RouteRefused: there is one, which everybody can use.
            OwnershipUnknown: Composio cannot tell now.

        """
        query = urlencode({"toolkit_slug": toolkit}).encode()
        status, body = await self._fetch(provider, b"/api/v3/auth_configs?" + query)
        if status != 200 or has_items(body):
            raise RouteRefused(f"There is a way to sign in to {toolkit} already: list them and use it.")

    async def _ask(self, provider: Provider, name: str) -> str:
        if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            return ""
        status, body = await self._fetch(provider, f"/api/v3/connected_accounts/{name}".encode())
        owner = (user_of(body) if status == 200 else None) or ""
        self._known[name] = owner, self._clock() + REMEMBERED_SECONDS
        self._known.move_to_end(name)
        if len(self._known) > self._bound:
            self._known.popitem(last=False)
        return owner

    async def _fetch(self, provider: Provider, path: bytes) -> tuple[int, bytes]:
        """Ask Composio for something small with the real key."""
        taken = provider.keys.take() if provider.keys else None
        found = bytearray()
        status = 0

        async def take(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            if len(found) <= MAX_ANSWER_BYTES:
                found.extend(message.get("body", b""))

        try:
            async with asyncio.timeout(LOOK_SECONDS):
                ended = await relay(
                    _SCOPE,
                    _nothing_more,
                    take,
                    pool=self._pool,
                    target=provider.target,
                    path=provider.base_path + path,
                    headers=[*provider.key_lines(taken), (b"accept-encoding", b"identity")],
                )
        except (RelayError, TimeoutError) as error:
            raise OwnershipUnknown("Composio cannot be asked at the moment; try again.") from error
        if ended != "complete" or status in {401, 403, 429} or status >= 500:
            raise OwnershipUnknown(f"Composio cannot say at the moment whose this is (status {status}).")
        return status, bytes(found)


async def _nothing_more() -> MutableMapping[str, Any]:
    """Be a client whose request was whole; it is not asked for more."""
    return {"type": "http.disconnect"}


_SCOPE = {"type": "http", "method": "GET", "headers": [], "httprelay.on_leave": lambda _call: None}
