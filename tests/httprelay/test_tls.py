"""Upstreams behind TLS: whose certificate is not good is never spoken to."""

import asyncio
import ssl

import pytest
from tests.httprelay.certificates import Authority
from tests.httprelay.support import raw_upstream
from tests.httprelay.test_pool import answer_all, once

from httprelay import ConnectFailed, Pool, Target, TooManyConnections


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


async def test_an_upstream_with_a_good_certificate_is_kept_alive(authority: Authority) -> None:
    async with raw_upstream(answer_all, authority.serving()) as port:
        pool, target = Pool(tls=trusting(authority)), Target("127.0.0.1", port, tls=True)
        assert [await once(pool, target) for _ in range(3)] == [False, True, True]
        await pool.aclose()


async def test_the_file_that_the_environment_names_is_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with raw_upstream(answer_all, authority.serving()) as port:
        pool, target = Pool(), Target("127.0.0.1", port, tls=True)
        assert [await once(pool, target), await once(pool, target)] == [False, True]
        await pool.aclose()


@pytest.mark.parametrize(
    ("host", "expired", "own", "why"),
    [
        ("127.0.0.1", False, True, "self-signed certificate"),
        ("127.0.0.1", True, False, "certificate has expired"),
        ("127.0.0.2", False, False, "IP address mismatch"),
        ("other.example", False, False, "IP address mismatch"),
    ],
)
async def test_a_certificate_that_is_not_good_is_refused_before_anything_is_sent(
    authority: Authority, host: str, expired: bool, own: bool, why: str
) -> None:
    got: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())

    async with raw_upstream(listen, authority.serving(host, expired=expired, own=own)) as port:
        pool, target = Pool(tls=trusting(authority), limit=1), Target("127.0.0.1", port, tls=True)
        for _ in range(2):  # the place of a connection that failed is free again
            with pytest.raises(ConnectFailed, match=f"certificate of 127.0.0.1:{port} is not trusted.*{why}"):
                await pool.acquire(target, 5)
    assert b"".join(got) == b""


async def test_a_certificate_that_nobody_trusts_is_refused_by_default(authority: Authority) -> None:
    async with raw_upstream(answer_all, authority.serving()) as port:
        with pytest.raises(ConnectFailed, match="not trusted"):
            await Pool().acquire(Target("127.0.0.1", port, tls=True), 5)


async def test_an_upstream_that_speaks_no_tls_is_refused(authority: Authority) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with raw_upstream(plain) as port:
        with pytest.raises(ConnectFailed):
            await Pool(tls=trusting(authority)).acquire(Target("127.0.0.1", port, tls=True), 5)


async def test_a_handshake_that_does_not_end_is_given_up_in_time(authority: Authority) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_upstream(silent) as port:
        with pytest.raises(ConnectFailed, match="Timeout"):
            await Pool(tls=trusting(authority)).acquire(Target("127.0.0.1", port, tls=True), 0.1)


async def test_connections_behind_tls_are_bounded_while_they_are_made(authority: Authority) -> None:
    async with raw_upstream(answer_all, authority.serving()) as port:
        pool, target = Pool(tls=trusting(authority), limit=2), Target("127.0.0.1", port, tls=True)
        made = await asyncio.gather(*(pool.acquire(target, 5) for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(one, TooManyConnections) for one in made) == 2
        for one in made:
            if isinstance(one, tuple):
                pool.give_back(target, one[0], reusable=False)
        assert not await once(pool, target)
        await pool.aclose()
