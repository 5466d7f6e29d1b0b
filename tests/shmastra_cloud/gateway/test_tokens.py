from genai_prices.data_units import unit_data

from shmastra_cloud.gateway.tokens import NOTHING, Tokens


def test_nothing_used_is_nothing_and_cannot_be_changed() -> None:
    assert Tokens() == (0, 0, 0, 0, False, 0, NOTHING, None)
    assert not NOTHING
    assert not hasattr(NOTHING, "__setitem__")
    assert "input_audio_tokens" in unit_data
