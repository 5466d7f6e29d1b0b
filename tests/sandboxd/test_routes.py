import pytest

from sandboxd.routes import wanted

ID = "i0123456789abcdef01"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({b"e2b-sandbox-id": "x"}, ("x", 49983)),
        ({b"e2b-sandbox-id": "x", b"e2b-sandbox-port": "80"}, ("x", 80)),
        ({b"host": f"4111-{ID}.example.com:8443"}, (ID, 4111)),
        ({b"host": f"49983-{ID.upper()}.EXAMPLE.com"}, (ID, 49983)),
        ({b"host": f"4111-{ID}.example.com", b"e2b-sandbox-id": "x"}, ("x", 49983)),
        ({b"host": "api.example.com"}, None),
        ({b"host": "127.0.0.1:4990"}, None),
        ({b"host": f"4111-{ID}"}, None),
        ({}, None),
    ],
)
def test_a_request_finds_its_way(headers: dict[bytes, str], found: tuple[str, int] | None) -> None:
    assert wanted(headers) == found


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "", "٣"])
def test_what_is_no_port_is_none(port: str) -> None:
    with pytest.raises(ValueError, match="port"):
        wanted({b"e2b-sandbox-id": "x", b"e2b-sandbox-port": port})
