"""A stand-in for OpenAI that keeps responses and conversations for the account; held by the official SDK."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.llm_provider import Provider, _responses, _send


@dataclass
class Keeps(Provider):
    """Whoever has the real key sees everything: it is the gateway that keeps users apart."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        name, _, action = rest.partition("/")
        if kind not in {"responses", "conversations"}:
            await super().answer(path, body, receive, send)
        elif not name and kind == "responses":
            await self._respond(body, send)
        elif not name:
            await self._make(f"conv_{next(self.numbers)}", {"object": "conversation", "created_at": 1}, send)
        elif name not in self.kept:
            await _send(send, 404, [json.dumps({"error": {"message": f"No {name} found."}})])
        elif action.startswith(("input_items", "items")):
            items = {"object": "list", "data": [], "first_id": "a", "last_id": "b", "has_more": False}
            await _send(send, 200, [json.dumps(items)])
        else:
            await _send(send, 200, [json.dumps(self.kept[name])])

    async def _respond(self, body: dict[str, Any], send: Any) -> None:
        name = f"resp_{next(self.numbers)}"
        pieces = [piece.replace("resp_1", name) for piece in _responses(body)]
        self.kept[name] = json.loads(_responses({**body, "stream": False})[0]) | {"id": name}
        await _send(send, 200, pieces, stream=bool(body.get("stream")))

    async def _make(self, name: str, thing: dict[str, Any], send: Any) -> None:
        self.kept[name] = {**thing, "id": name, "metadata": {}}
        await _send(send, 200, [json.dumps(self.kept[name])])
