"""The ways to sign in, as the sign-in page offers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastapi import APIRouter


@dataclass(frozen=True)
class Way:
    """One way to sign in beside one-time links: what its button says and where it leads, and what serves it.

    ``state`` is what its routes find in the application's state. ``leave`` is told the token of a session
    that is about to end, and returns where the browser goes on to, or None for the sign-in page. ``told`` are
    the paths that the provider itself posts to: no page of ours asks for these, and they know no cookie.
    ``background`` runs as long as the process, ``closing`` is called when that ends.
    """

    label: str
    start: str
    router: APIRouter
    state: dict[str, object] = field(default_factory=dict)
    leave: Callable[[str], Awaitable[str | None]] | None = None
    told: tuple[str, ...] = ()
    background: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
