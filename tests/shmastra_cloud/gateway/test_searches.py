import pytest

from shmastra_cloud.gateway.searches import MAX_SEARCHES, Searches


def seen(*pieces: bytes) -> Searches:
    searches = Searches()
    for piece in pieces:
        searches.chunk(piece)
    return searches


def test_a_search_of_openai_is_counted_once_however_often_it_is_named() -> None:
    call = b'{"type":"response.web_search_call.searching","item_id":"ws_0123456789abcdef"}'
    other = b'{"item":{"id":"ws_fedcba9876543210","type":"web_search_call"}}'
    assert seen(call, call, other, call).count("gpt-5") == 2
    assert seen(b'{"delta":"ws_short"}', b'{"item_id":"ws_0123456', b'789abcdef"}').count("gpt-5") == 0


@pytest.mark.parametrize(("model", "billed"), [("gemini-2.5-flash", 1), ("gemini-3-pro-preview", 2)])
def test_google_bills_an_answer_or_each_query(model: str, billed: int) -> None:
    told = b'"groundingMetadata": {"webSearchQueries": ["who \\"won\\"", "when"], "groundingChunks": []}'
    assert seen(told, told).count(model) == billed
    assert seen(b'"webSearchQueries": []').count(model) == 0


def test_searches_are_bounded() -> None:
    assert seen(*(b'"ws_%010d"' % number for number in range(1000))).count(None) == MAX_SEARCHES
