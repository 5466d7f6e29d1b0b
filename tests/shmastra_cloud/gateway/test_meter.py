import pytest

from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.tokens import Tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', Tokens(3, 0, 0, 4)),
        (
            (
                b'{"usage":{"input_tokens":3,"output_tokens":4,"input_tokens_details":{"cached_tokens":2},'
                b'"output_tokens_details":{"reasoning_tokens":1}}}'
            ),
            Tokens(3, 2, 1, 4),
        ),
        (
            b'{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":2}}',
            Tokens(3, 0, 2, 6),
        ),
    ],
)
def test_usage_is_found_however_it_is_cut(text: bytes, expected: Tokens) -> None:
    for size in (1, 5, len(text)):
        meter = Meter()
        for at in range(0, len(text), size):
            meter.chunk(text[at : at + size])
        assert meter.tokens(complete=True, request_bytes=0) == expected


def test_a_count_that_no_row_could_hold_is_bounded() -> None:
    meter = Meter()
    meter.chunk(b'{"usage":{"prompt_tokens":99999999999999,"completion_tokens":4}}')
    assert meter.tokens(complete=True, request_bytes=0) == Tokens(2**31 - 1, 0, 0, 4)


def test_usage_quoted_in_the_answers_text_is_not_believed() -> None:
    meter = Meter()
    meter.chunk(
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"x":"\\"usage\\":{\\"prompt_tokens\\":0}"}'
    )
    assert meter.tokens(complete=True, request_bytes=0).input == 3


def test_what_was_left_is_estimated_from_its_bytes() -> None:
    meter = Meter()
    for _ in range(50):
        meter.chunk(b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n')
    tokens = meter.tokens(complete=False, request_bytes=400)
    assert tokens.estimated
    assert (tokens.input, tokens.output) == (100, 50)
