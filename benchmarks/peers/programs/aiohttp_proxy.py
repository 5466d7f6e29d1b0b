"""A plain proxy on aiohttp: ``aiohttp_proxy.py PORT ORIGIN FILE_OF_KEYS``; runs in the peers' environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

_HOPS = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "host",
    "content-length",
}
_ORIGIN = web.AppKey("origin", str)
_KEYS = web.AppKey("keys", dict[str, str])
_CLIENT = web.AppKey("client", ClientSession)


async def relay(request: web.Request) -> web.StreamResponse:
    """Look the key up, put the real one in its place, and pass on what comes back as it comes."""
    real = request.app[_KEYS].get(request.headers.get("Authorization", ""))
    if real is None:
        return web.json_response({"error": "unknown key"}, status=401)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOPS}
    headers["Authorization"] = real
    url = request.app[_ORIGIN] + request.raw_path
    async with request.app[_CLIENT].request(
        request.method, url, headers=headers, data=await request.read(), allow_redirects=False
    ) as found:
        kept = {name: value for name, value in found.headers.items() if name.lower() not in _HOPS}
        if found.content_length is not None:
            return web.Response(status=found.status, headers=kept, body=await found.read())
        answer = web.StreamResponse(status=found.status, headers=kept)
        await answer.prepare(request)
        async for data in found.content.iter_any():
            await answer.write(data)
        await answer.write_eof()
        return answer


async def _application(origin: str, keys: dict[str, str]) -> web.Application:
    application = web.Application(client_max_size=64 * 2**20)
    application[_ORIGIN], application[_KEYS] = origin, keys
    application[_CLIENT] = ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=10),
        auto_decompress=False,
    )
    application.router.add_route("*", "/{path:.*}", relay)
    return application


def main() -> None:
    port, origin, file = sys.argv[1:]
    real = f"Bearer {os.environ['REAL_KEY']}"
    keys = {f"Bearer {key}": real for key in Path(file).read_text().split()}
    web.run_app(
        _application(origin, keys),
        host="127.0.0.1",
        port=int(port),
        access_log=None,
        print=None,
        handler_cancellation=True,
        backlog=4096,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
