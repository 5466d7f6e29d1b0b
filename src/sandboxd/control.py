"""E2B's control API, as its SDK 2.63 calls it."""

from __future__ import annotations

import asyncio
import datetime as dt
import hmac
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandboxd import listing
from sandboxd.errors import EngineError, NoSuchSandbox, NoSuchTemplate, WrongState
from sandboxd.metrics import measure

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from sandboxd.engine import Engine
    from sandboxd.records import Record

log = logging.getLogger(__name__)

ENVD_VERSION = "0.6.4"
MAX_BODY_BYTES = 1_000_000
MAX_SECONDS = 30 * 24 * 3600
LOG_BYTES = 65536
TEMPLATE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Handler = "Callable[[Engine, Request, dict[str, Any]], Awaitable[Response]]"


def control_app(engine: Engine, api_key: str) -> Starlette:
    """Return the ASGI application of the control API."""

    def route(path: str, method: str, handle: Any) -> Route:
        async def answer(request: Request) -> Response:
            return await _answer(engine, api_key, request, handle)

        return Route(path, answer, methods=[method])

    one = "/sandboxes/{id}"
    return Starlette(
        routes=[
            Route("/health", _health),
            *(route(f"{version}/sandboxes", "POST", _create) for version in ("", "/v2")),
            *(route(f"{version}/sandboxes", "GET", _list) for version in ("", "/v2")),
            *(route(f"{version}{one}/connect", "POST", _connect) for version in ("", "/v2")),
            route(f"{one}/resume", "POST", _connect),
            route(one, "GET", _show),
            route(one, "DELETE", _kill),
            route(f"{one}/timeout", "POST", _timeout),
            route(f"{one}/pause", "POST", _pause),
            route(f"{one}/network", "PUT", _network),
            route(f"{one}/copy", "POST", _copy),
            route("/templates/aliases/{alias}", "GET", _template),
            route(f"{one}/metrics", "GET", _metrics),
            route(f"{one}/logs", "GET", _logs),
        ]
    )


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _answer(engine: Engine, api_key: str, request: Request, handle: Any) -> Response:
    given = request.headers.get("x-api-key", "")
    if not hmac.compare_digest(given.encode(), api_key.encode()):
        return _error(401, "The API key is not right.")
    try:
        answer: Response = await handle(engine, request, await _body(request))
    except ValueError as error:
        return _error(400, str(error))
    except (NoSuchSandbox, NoSuchTemplate) as error:
        return _error(404, str(error))
    except WrongState as error:
        return _error(409, str(error))
    except (EngineError, OSError) as error:
        log.warning("%s %s failed: %s", request.method, request.url.path, error)
        return _error(500, str(error))
    return answer


async def _body(request: Request) -> dict[str, Any]:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            raise ValueError("The body is too large.")
    value = json.loads(raw) if raw else {}
    if not isinstance(value, dict):
        raise ValueError("The body must be a JSON object.")  # noqa: TRY004 -- it is the client's value
    return value


def _error(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "message": message}, status)


def _seconds(body: dict[str, Any], default: int = 300) -> int:
    value = body.get("timeout", default)
    if not isinstance(value, int) or not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"timeout must be between 0 and {MAX_SECONDS} seconds.")
    return value


def _strings(value: object, name: str) -> dict[str, str]:
    pairs = value or {}
    if not isinstance(pairs, dict) or not all(isinstance(text, str) for text in pairs.values()):
        raise ValueError(f"{name} must hold strings.")
    return pairs


def _hosts(body: dict[str, Any]) -> list[str] | None:
    """Return the hosts that a request's network rules let out; addresses and ranges let nothing out here."""
    network = body.get("network") or {}
    if body.get("allow_internet_access") is False:
        return []
    found = network.get("allowOut")
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(host, str) for host in found):
        raise ValueError("network.allowOut must be a list of hosts.")
    return found


async def _create(engine: Engine, request: Request, body: dict[str, Any]) -> Response:
    template = body.get("templateID")
    if not isinstance(template, str) or not TEMPLATE.fullmatch(template):
        raise ValueError("templateID must name a template.")
    record = await engine.create(
        template,
        seconds=_seconds(body),
        on_timeout="pause" if body.get("autoPause") else "kill",
        metadata=_strings(body.get("metadata"), "metadata"),
        envs=_strings(body.get("envVars"), "envVars"),
        egress=_hosts(body),
        public=(body.get("network") or {}).get("allowPublicTraffic", True) is not False,
        once=request.headers.get("idempotency-key"),
    )
    return JSONResponse(_brief(engine, record), 201)


async def _connect(engine: Engine, request: Request, body: dict[str, Any]) -> Response:
    record, resumed = await engine.connect(request.path_params["id"], _seconds(body))
    return JSONResponse(_brief(engine, record), 201 if resumed else 200)


async def _show(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    return JSONResponse(_full(engine, engine.get(request.path_params["id"]).record))


async def _list(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    found, more = listing.page(engine.all(), request.query_params)
    headers = {} if more is None else {"X-Next-Token": more}
    return JSONResponse([_full(engine, record) for record in found], headers=headers)


async def _metrics(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    live = engine.get(request.path_params["id"])
    if live.record.state != "running":
        return JSONResponse([])
    now = dt.datetime.now(dt.UTC)
    begin, end = (
        int(request.query_params.get(name) or otherwise)
        for name, otherwise in (("start", 0), ("end", 1 << 40))
    )
    if not begin <= now.timestamp() <= end + 1:
        return JSONResponse([])
    told = await measure(live.record.id, live.sandbox.folder / "disk", engine.limits)
    return JSONResponse(
        [{**told, "timestamp": _time(now.timestamp()), "timestampUnix": int(now.timestamp())}]
    )


async def _kill(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    await engine.kill(request.path_params["id"])
    return Response(status_code=204)


async def _timeout(engine: Engine, request: Request, body: dict[str, Any]) -> Response:
    await engine.set_timeout(request.path_params["id"], _seconds(body))
    return Response(status_code=204)


async def _pause(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    await engine.pause(request.path_params["id"])
    return Response(status_code=204)


async def _copy(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    """Copy the disk, for a program on this machine that may read it; E2B has no such route."""
    return JSONResponse({"path": str(await engine.copy_disk(request.path_params["id"]))}, 201)


async def _network(engine: Engine, request: Request, body: dict[str, Any]) -> Response:
    await engine.set_egress(request.path_params["id"], _hosts({"network": body}))
    return Response(status_code=204)


async def _template(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    name = request.path_params["alias"]
    if not TEMPLATE.fullmatch(name):
        raise ValueError("This is not the name of a template.")
    if not engine.has_template(name):
        raise NoSuchTemplate(f"Template {name} was not found")
    return JSONResponse({"templateID": name, "public": False})


async def _logs(engine: Engine, request: Request, _body: dict[str, Any]) -> Response:
    """Answer with what the container's own start and first process said."""
    log = engine.get(request.path_params["id"]).sandbox.folder / "init.log"
    lines = await asyncio.to_thread(_tail, log)
    return JSONResponse(
        {"logs": [{"timestamp": _time(when), "line": line} for when, line in lines], "logEntries": []}
    )


def _tail(log: Path) -> list[tuple[float, str]]:
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        text = file.read().decode(errors="replace")
    return [(log.stat().st_mtime, line) for line in text.splitlines()]


def _brief(engine: Engine, record: Record) -> dict[str, Any]:
    return {
        "templateID": record.template,
        "sandboxID": record.id,
        "clientID": "sandboxd",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": record.envd_token,
        "trafficAccessToken": None if record.public else record.traffic_token,
        "domain": engine.domain,
    }


def _full(engine: Engine, record: Record) -> dict[str, Any]:
    return {
        "templateID": record.template,
        "alias": record.template,
        "sandboxID": record.id,
        "clientID": "sandboxd",
        "envdVersion": ENVD_VERSION,
        "startedAt": _time(record.started_at),
        "endAt": _time(record.end_at),
        "cpuCount": max(1, round(engine.limits.cpus)),
        "memoryMB": engine.limits.memory_mb,
        "diskSizeMB": engine.limits.disk_mb,
        "metadata": record.metadata,
        "state": record.state,
        "domain": engine.domain,
        "lifecycle": {"onTimeout": record.on_timeout, "autoResume": False},
        "network": {"allowPublicTraffic": record.public, "allowOut": engine.hosts_of(record)},
    }


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")
