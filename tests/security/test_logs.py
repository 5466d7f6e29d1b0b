"""What clients send never forges, splits or floods a log, and no secret is in one.

JupyterHub CVE-2026-54338: text of a client's went into the log, of any length, with line ends in it.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.security.support import Cloud

from httprelay.plain_logs import LINE_CHARACTERS

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: [^\x00-\x1f\x7f-\x9f]*|  .*")
FORGED = "2026-01-01 00:00:00,000 ERROR root: forged"
MARK = "logmark"


def written(cloud: Cloud, since: int) -> str:
    return cloud.log.read_bytes()[since:].decode()


def test_nothing_a_client_sends_makes_a_line_of_its_own_or_a_long_one(cloud: Cloud) -> None:
    since = cloud.log.stat().st_size
    text = f"{MARK}\n{FORGED}\r\n\x1b[2J{FORGED}"
    sent, long = quote(text), MARK * 4000
    cloud.provider.answer = b"HTTP/1.1 200 OK\r\nX: logmark\nforged\r\n\r\n"
    mine, key = cloud.mine(), f"x-api-key: {cloud.ann.key}"
    for line in (
        f"GET /{sent}",
        f"GET /{long[:20_000]}",
        f"GET /login/link/{sent}",
        f"GET /login/link/{long[:9000]}",
        f"GET /studio/{sent}",
        f"GET /workspace?returnTo={sent}",
        f"GET /api/mastra/{long[:9000]}?{sent}",
        f"GET /api/gateway/{sent}/x",
        f"GET /api/gateway/openai/v1/{long[:9000]}",
        f"{long[:200]} /",
        "GET " + text,
    ):
        for headers in ([], [*mine, key]):
            agent = ["User-Agent: " + long, "Referer: http://x/" + sent, "X-Forwarded-For: " + sent]
            cloud.ask(line, *headers, *agent)
    cloud.ask("GET /api/me", host=f"{MARK}.example")
    cloud.ask("GET /api/me", f"Cookie: shmastra_session={long[:5000]}")
    cloud.ask("GET /api/me", f"Authorization: Bearer {sent}", "Origin: " + sent)
    cloud.ask(
        "POST /api/sandbox/heal",
        f"Authorization: Bearer {cloud.ann.key}",
        body=b'{"status":"\\n' + FORGED.encode(),
    )
    told = written(cloud, since)
    assert FORGED not in told.replace(f"\\n{FORGED}", "")
    for line in told.splitlines():
        assert LINE.fullmatch(line), line
        assert len(line) < LINE_CHARACTERS + 200


def test_who_asks_a_thousand_times_writes_no_thousand_lines(cloud: Cloud) -> None:
    since = cloud.log.stat().st_size
    request = (
        b"GET /api/gateway/openai/v1/nothing-here HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: vk_x\r\n\r\n"
    )
    for _ in range(100):
        cloud.talk(request * 9 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        cloud.talk(b"\x00\xff rubbish " + MARK.encode() + b"\r\n\r\n")
    assert written(cloud, since).count("\n") < 200


def test_no_secret_that_was_used_is_in_the_log(cloud: Cloud) -> None:
    token, session = cloud.link(), cloud.start_session()
    cloud.ask(f"GET /login/link/{token}")
    cloud.ask(f"POST /login/link/{token}", f"Origin: {cloud.url}")
    cloud.ask("GET /api/mastra/agents", f"Cookie: shmastra_session={session}")
    cloud.ask(f"GET /api/gateway/openai/v1/models?key={cloud.ann.key}")
    cloud.provider.answer = b"nonsense\r\n\r\n"
    cloud.ask("GET /api/gateway/openai/v1/models", f"Authorization: Bearer {cloud.ann.key}")
    told = cloud.log.read_text()
    for secret in (token, session, cloud.ann.key, cloud.ann.key[-20:], "sk-real"):
        assert secret not in told
