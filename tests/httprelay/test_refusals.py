import pytest

from httprelay.headers import Headers
from httprelay.refusals import Refusal, refusal

HOST = (b"host", b"a.example:80")


def refused(
    *headers: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/", version: str = "1.1"
) -> Refusal | None:
    return refusal(method, target, version, list(headers))


@pytest.mark.parametrize("host", [b"a", b"a:80", b"127.0.0.1", b"[::1]:80", b"a_b.c-d"])
def test_a_plain_request_is_let_in(host: bytes) -> None:
    assert refused((b"host", host)) is None
    assert (
        refused((b"host", host), (b"content-length", b"1"), method=b"POST", target=b"/a?b=c", version="1.0")
        is None
    )
    assert refused((b"host", host), (b"transfer-encoding", b"Chunked"), method=b"POST") is None


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"a@b", b"a,b", b"a:x", b"[", b"a?", b"\xff"])
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    assert refused((b"host", host)) == (400, "Exactly one Host header is needed.")


@pytest.mark.parametrize("headers", [[], [HOST, HOST]])
def test_one_host_is_needed(headers: Headers) -> None:
    assert refused(*headers) == (400, "Exactly one Host header is needed.")


@pytest.mark.parametrize(
    "framing",
    [
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"chunked\x0b")],
    ],
)
def test_a_body_that_could_end_in_two_places_is_refused(framing: Headers) -> None:
    found = refused(HOST, *framing, method=b"POST")
    assert found is not None
    assert found.status == 400


def test_chunks_are_not_for_http_1_0() -> None:
    found = refused(HOST, (b"transfer-encoding", b"chunked"), version="1.0")
    assert found is not None
    assert found.status == 400


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_other_versions_are_refused(version: str) -> None:
    assert refused(HOST, version=version) == (400, "Only HTTP 1.0 and 1.1 are spoken here.")


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
def test_methods_that_make_a_tunnel_or_an_echo_are_refused(method: bytes) -> None:
    assert refused(HOST, method=method) == (405, "This method is not served here.")


@pytest.mark.parametrize(
    "target", [b"*", b"http://a/", b"a", b"", b"/#", b"/a b", b"/%0a", b"/%7F", b"/\xff", b"/\x00"]
)
def test_a_target_that_is_no_plain_path_is_refused(target: bytes) -> None:
    found = refused(HOST, target=target)
    assert found is not None
    assert found.status == 400
