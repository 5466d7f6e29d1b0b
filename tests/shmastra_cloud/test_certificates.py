import asyncio
import contextlib
import datetime as dt
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from tests.httprelay.certificates import Authority

from shmastra_cloud.certificates import Certificate, CertificateError, Told, context_of, read_certificate

Files = tuple[Path, Path]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> Files:
    return authority.files("127.0.0.1")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def served(certificate: Certificate) -> AsyncIterator[int]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def dial(port: int, authority: Authority) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    """Connect, and return also the serial number of what was shown."""
    trusting = ssl.create_default_context(cafile=authority.file)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    shown = writer.get_extra_info("ssl_object").getpeercert()
    return reader, writer, int(shown["serialNumber"], 16)


async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"hello")
    return await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"


def test_a_renewed_certificate_is_shown_without_ending_what_is_open(
    authority: Authority, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async def renewed() -> None:
        certificate = Certificate(*files)
        watching = asyncio.create_task(certificate.watch(0.02))
        async with served(certificate) as port:
            reader, writer, first = await dial(port, authority)
            files[1].write_text("half written")
            with caplog.at_level(logging.ERROR):
                while "old one is" not in caplog.text:
                    await asyncio.sleep(0.01)
            assert str(files[1]) in caplog.text
            *old, again = await dial(port, authority)
            assert again == first
            authority.files("127.0.0.1")
            second = first
            while second == first:
                *new, second = await dial(port, authority)
                assert await says(*new)
                new[1].close()
            assert await says(reader, writer)
            assert await says(*old)
            for open_one in (writer, old[1]):
                open_one.close()
        watching.cancel()

    for run in (asyncio.run, uvloop.run):  # each has a TLS of its own
        run(asyncio.wait_for(renewed(), 30))
        caplog.clear()


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        ("missing", None, "missing cannot be read .No such file.*SHMASTRA_TLS_CERT"),
        (None, "missing", "missing cannot be read .No such file.*SHMASTRA_TLS_KEY"),
        ("garbage", None, "no certificate in PEM.*fullchain"),
        (None, "garbage", "no private key in PEM"),
        (None, "open", "open to others .mode 0644.: chmod 640"),
        (None, "other", "is not the key of"),
        (None, "encrypted", "is encrypted"),
    ],
)
def test_files_that_cannot_be_used_say_why(
    authority: Authority, files: Files, tmp_path: Path, cert: str | None, key: str | None, complaint: str
) -> None:
    private = serialization.load_pem_private_key(files[1].read_bytes(), None)
    sealed = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a password"),
    )
    made = {
        "garbage": b"garbage",
        "open": files[1].read_bytes(),
        "other": authority.files("127.0.0.2")[1].read_bytes(),
        "encrypted": sealed,
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o640)
    with pytest.raises(CertificateError, match=complaint):
        context_of(tmp_path / cert if cert else files[0], tmp_path / key if key else files[1])


def test_an_expired_one_is_used_but_told(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    context_of(*authority.files(expired=True))
    assert "has expired" in caplog.text


def test_what_a_certificate_says(authority: Authority) -> None:
    told = read_certificate(authority.files("Cloud.Example.com")[0])
    assert told.names == ("cloud.example.com",)
    assert told.expires > dt.datetime.now(dt.UTC)
    assert read_certificate(authority.files("127.0.0.1")[0]).is_for("127.0.0.1")
    some = Told(("*.example.com", "example.org"), told.expires)
    assert [some.is_for(host) for host in ("A.example.com", "example.org", "a.b.example.com")] == [1, 1, 0]
    assert not some.is_for("example.com")
