from shmastra_cloud.gateway.answers import Redacted, WithoutUsage

STREAM = b'data: {"choices":[{"a":1}]}\n\ndata: {"choices":[],"usage":{"total_tokens":3}}\n\ndata: [DONE]\n\n'
CLEAN = b'data: {"choices":[{"a":1}]}\n\ndata: [DONE]\n\n'


def test_the_usage_chunk_is_taken_out_however_the_stream_is_cut() -> None:
    for size in (1, 2, 7, len(STREAM)):
        edit = WithoutUsage()
        pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        passed = [edit.feed(piece, last=False) for piece in pieces] + [edit.feed(b"", last=True)]
        assert b"".join(passed) == CLEAN


def test_a_key_is_taken_out_even_when_it_comes_in_pieces() -> None:
    edit = Redacted((b"sk-secret",))
    assert edit.feed(b"no sk-se", last=False) == b""
    assert edit.feed(b"cret here", last=True) == b"no [redacted] here"
