import pytest

from shmastra_cloud.gateway.resources import creates, is_only_kept, named_in


@pytest.mark.parametrize(
    ("path", "things"),
    [
        (b"/files", ()),
        (b"/files/file-1/content", (("files", "file-1"),)),
        (b"/vector_stores/vs_1/files/file-1", (("vector_stores", "vs_1"), ("files", "file-1"))),
        (
            b"/vector_stores/vs_1/file_batches/b_1/cancel",
            (("vector_stores", "vs_1"), ("file_batches", "b_1")),
        ),
        (b"/uploads/upload_1/parts", (("uploads", "upload_1"),)),
        (b"/cachedContents/x", (("cachedContents", "x"),)),
        (b"/fileSearchStores/x:importFile", (("fileSearchStores", "x"),)),
        (b"/responses/compact", ()),
        (b"/models/gpt-5", ()),
        (b"/chat/completions", ()),
    ],
)
def test_ids_are_read_from_a_path(path: bytes, things: tuple[tuple[str, str], ...]) -> None:
    assert named_in(path) == things


def test_what_makes_a_thing_is_told_from_what_uses_one() -> None:
    for path in (b"/files", b"/vector_stores", b"/vector_stores/vs_1/file_batches", b"/conversations"):
        assert creates("POST", path)
        assert not creates("GET", path)
    assert not creates("POST", b"/responses/resp_1/cancel")
    assert not creates("POST", b"/chat/completions")


def test_only_what_calls_a_model_uses_tokens() -> None:
    for pattern in (rb"/conversations(?:/x)?", b"/files", b"/responses/[a-z]+/cancel"):
        assert is_only_kept(pattern)
    for pattern in (b"/responses", b"/chat/completions", rb"/models/(?P<model>x):(?:generateContent)"):
        assert not is_only_kept(pattern)
