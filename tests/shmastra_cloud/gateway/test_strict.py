import httpx
import pytest

from shmastra_cloud.gateway.errors import RefusedRequest
from shmastra_cloud.gateway.strict import form_model, parse, suspicious

KIND = b"multipart/form-data; boundary=b"


def form(*parts: str) -> bytes:
    return "".join(f"--b\r\n{part}\r\n" for part in parts).encode() + b"--b--\r\n"


def test_a_field_that_stands_there_twice_is_refused_at_any_depth() -> None:
    raw = b'{"a": {"b": 1, "b": 2}, "c": [{"\\u0064": 1, "d": 2}]}'
    assert parse(raw, strict=False) == {"a": {"b": 2}, "c": [{"d": 2}]}
    for twice in (raw, b'{"x": [{"y": {"z": 1, "z": 1}}]}', rb'{"model": 1, "mod\u0065l": 2}'):
        with pytest.raises(RefusedRequest, match="twice"):
            parse(twice, strict=True)
    assert parse(b'{"a": [{"b": 1}, {"b": 2}]}', strict=True) == {"a": [{"b": 1}, {"b": 2}]}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"[" * 100_000, b'{"a":' * 100_000, "{}".encode("utf-16")])
def test_rubbish_is_refused(raw: bytes, *, strict: bool) -> None:
    with pytest.raises(RefusedRequest):
        parse(raw, strict=strict)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"previous_response_id": "x"}',
        b'{"conversation": {"id": "x"}}',
        b'{"input": [{"type": "input_file", "file_id": "x"}]}',
        b'{"FILE_ID": "x"}',
        b'{"input_file_id": "x"}',
        b'{"training_file": "x"}',
        b'{"fileData": {}}',
        rb'{"\u0066ile_id": "x"}',
        rb'{"fil\u0045_id": "x"}',
        '{"vector_\u017ftore_ids": ["x"]}'.encode(),  # a long s
        b'{"container": "x"}',
        b'{"cachedContent": "x"}',
        b'{"prompt" : {"id": "x"}}',
        b'{"bac\xe2\x84\xaaground": true}',  # the sign for kelvin
    ],
)
def test_a_word_that_matters_is_seen_however_it_is_written(raw: bytes) -> None:
    assert suspicious(raw)


def test_what_agents_send_all_day_is_not_suspicious() -> None:
    raw = (
        b'{"model": "gpt-5", "messages": [{"role": "tool", "tool_call_id": "c", "content": "a file\\n"}],'
        b' "stream": true, "prompt_cache_key": "x", "metadata": {"user_id": "u"}, "tools": []}'
    )
    assert not suspicious(raw)


def test_a_form_that_an_sdk_writes_names_its_model() -> None:
    request = httpx.Request(
        "POST",
        "http://x",
        data={"model": "whisper-1", "include[]": ["a", "b"]},
        files={"file": ("ä b.mp3", b"--b\r\n\r\nname=model\r\n")},
    )
    assert form_model(request.read(), request.headers["content-type"].encode()) == "whisper-1"
    assert form_model(form('Content-Disposition: form-data; name="x"\r\n\r\n1'), KIND) is None


@pytest.mark.parametrize(
    "parts",
    [
        ['name="model"\r\n\r\na', 'name="model"\r\n\r\nb'],
        ['name="model"\r\n\r\na', 'name="Model"\r\n\r\nb'],
        ['name="model"\r\n\r\na', 'name="model[]"\r\n\r\nb'],
        ['name="model"\r\n\r\na', 'name="model"; filename="f"\r\n\r\nb'],
        ["name=model\r\n\r\na"],
        ['name="mod\\el"\r\n\r\na'],
        ['name="mod%65l"\r\n\r\na'],
        ["name*=utf-8''model\r\n\r\na"],
        ['name="x"; name="model"\r\n\r\na'],
        ['name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\na'],
        ['name="x"\r\nContent-Transfer-Encoding: base64\r\n\r\na'],
        ['name="x"\r\n folded\r\n\r\na'],
        ['name="x"\n\nname="model"\r\n\r\na'],
        ['name="x"\r\nno end'],
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(parts: list[str]) -> None:
    body = form(*(f"Content-Disposition: form-data; {part}" for part in parts))
    with pytest.raises(RefusedRequest):
        form_model(body, KIND)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", KIND),
        (b"--b--\r\n", KIND),
        (form('Content-Disposition: form-data; name="x"\r\n\r\n1')[:-4], KIND),
        (b"x" + form('Content-Disposition: form-data; name="x"\r\n\r\n1'), KIND),
        (form('Content-Disposition: form-data; name="x"\r\n\r\n1') + b"--b\r\nmore", KIND),
        (form('Content-Disposition: form-data; name="x"\r\n\r\n1'), b"multipart/form-data"),
        (form('Content-Disposition: form-data; name="x"\r\n\r\n1'), KIND + b"; boundary=c"),
        (form('Content-Disposition: form-data; name="x"\r\n\r\n1'), b"multipart/mixed; boundary=b"),
    ],
)
def test_a_form_that_is_not_whole_or_not_plain_is_refused(body: bytes, kind: bytes) -> None:
    with pytest.raises(RefusedRequest):
        form_model(body, kind)
