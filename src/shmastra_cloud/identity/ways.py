"""The ways to sign in, as the sign-in page offers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastapi import APIRouter

    from shmastra_cloud.identity.sessions import Provided


@dataclass(frozen=True)
class Way:
    """One way to sign in beside one-time links: what its button says and where it leads, and what serves it.

    ``background`` runs as long as the process, ``closing`` is called when that ends. A session that came by
    ``source`` goes on, when it is signed out, to the path of ours that ``goodbye`` makes of what is known of
    the provider's session; None: to the sign-in page. ``hooks`` are paths that the provider itself posts to,
    and proves in another way than by a page's origin.
    """

    label: str
    start: str
    router: APIRouter
    background: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    source: str | None = None
    goodbye: Callable[[Provided], str | None] | None = None
    hooks: frozenset[str] = frozenset()
