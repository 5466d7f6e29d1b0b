import pytest

from httprelay import safe_path


@pytest.mark.parametrize(
    "path", [b"/", b"/v1/chat/completions", b"/a%20b", b"/models/x:generate", b"/..a", b"/a."]
)
def test_plain_paths_are_safe(path: bytes) -> None:
    assert safe_path(path)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"a",
        b"/..",
        b"/a/../b",
        b"/./a",
        b"/%2e%2E/a",
        b"/a//b",
        b"/a%2fb",
        b"/a%5Cb",
        b"/a%00",
        b"/a%0ab",
        b"/a\\b",
        b"/a b",
        b"/a\x7f",
        b"/a%",
        b"/a%zz",
        b"/..;/a",
        b"/a?b",
        b"/\xff",
    ],
)
def test_ambiguous_paths_are_not(path: bytes) -> None:
    assert not safe_path(path)
