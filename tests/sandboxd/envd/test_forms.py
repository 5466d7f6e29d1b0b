import httpx
import pytest

from sandboxd.envd.forms import FormReader, WrongForm


def form(files: list[tuple[str, tuple[str, bytes]]]) -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://x", files=files)
    return request.headers["content-type"], request.read()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_files_come_out_whole_however_the_form_is_cut(size: int) -> None:
    kind, body = form([("f", ("/a/b", b"one\r\n--two")), ("f", ("empty", b"")), ("f", ("c", b"\x00" * 3000))])
    reader, found, name = FormReader(kind), {}, ""
    for begin in range(0, len(body), size):
        for told, data in reader.feed(body[begin : begin + size]):
            if told is not None:
                name = told
                found[name] = b""
            elif data is not None:
                found[name] += data
    reader.finish()
    assert found == {"/a/b": b"one\r\n--two", "empty": b"", "c": b"\x00" * 3000}


def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(WrongForm, match="boundary"):
        FormReader("multipart/form-data")
    kind, body = form([("f", ("a", b"x"))])
    reader = FormReader(kind)
    reader.feed(body[:-20])
    with pytest.raises(WrongForm):
        reader.finish()
    with pytest.raises(WrongForm, match="too long|exceeded"):
        FormReader(kind).feed(body.replace(b'name="f"', b'name="' + b"f" * 20_000 + b'"'))
