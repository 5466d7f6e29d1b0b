import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest

from shmastra_cloud.supervisor import ChildFailed, demo_model


def test_weights_are_taken_only_with_the_pinned_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo_model.weights().stat().st_size == 98_362_432
    monkeypatch.setattr(demo_model, "SHA256", "0" * 64)
    with pytest.raises(ChildFailed, match="pinned"):
        demo_model.weights()


async def test_it_answers_a_chat_over_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "demo.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shmastra_cloud.supervisor.demo_model",
        str(path),
        env=dict(os.environ),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, timeout=60, base_url="http://demo") as client:
            async with asyncio.timeout(60):
                while not await _is_up(client):
                    await asyncio.sleep(0.05)
            body = {
                "model": demo_model.ALIAS,
                "messages": [{"role": "user", "content": "Say hello."}],
                "max_tokens": 16,
            }
            answer = (await client.post("/v1/chat/completions", json=body)).json()
        assert answer["choices"][0]["message"]["content"]
        assert answer["usage"]["completion_tokens"] > 0
    finally:
        process.terminate()
        assert await process.wait() == 0


async def _is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.HTTPError:
        return False
