from decimal import Decimal
from pathlib import Path

import pytest

from shmastra_cloud.gateway.errors import BadConfiguration
from shmastra_cloud.gateway.own_prices import OwnPrices, read_own_prices

TABLE = """{
  "vllm/Qwen*": {"input": 0.1, "output": "0.4", "cached": 0.05, "output_limit": 8192},
  "vllm/*": {"input": 1, "output": 2},
  "openai/gpt-4o-audio*": {"input": 2.5, "output": 10, "input_audio_mtok": 40}
}"""


def rates(own: OwnPrices, provider: str, model: str | None) -> dict[str, object] | None:
    found = own.find(provider, model)
    return found and {key: value for key, value in found.prices.__dict__.items() if value is not None}


def test_the_first_pattern_that_fits_is_the_price() -> None:
    own = read_own_prices(TABLE)
    assert rates(own, "vllm", "qwen/qwen3") == {
        "input_mtok": Decimal("0.1"),
        "output_mtok": Decimal("0.4"),
        "cache_read_mtok": Decimal("0.05"),
    }
    assert rates(own, "vllm", None) == {"input_mtok": Decimal(1), "output_mtok": Decimal(2)}
    assert rates(own, "openai", "GPT-4o-audio-preview") == {
        "input_mtok": Decimal("2.5"),
        "output_mtok": Decimal(10),
        "input_audio_mtok": Decimal(40),
    }
    assert rates(own, "openai", "gpt-4o") is None
    first = own.find("vllm", "qwen3")
    assert first is not None
    assert first.output_limit == 8192


def test_a_file_is_read_and_nothing_set_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(TABLE)
    assert rates(read_own_prices(str(tmp_path / "prices.json")), "vllm", "x")
    for nothing in (None, "", " "):
        assert rates(read_own_prices(nothing), "vllm", "x") is None


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("{", "no valid JSON"),
        ("/nowhere/prices.json", "no file that can be read"),
        ("[]", "no file that can be read"),
        ('{"gpt-5": {"input": 1, "output": 1}}', "gpt-5 is no pattern"),
        ('{"a/b": 3}', "wrong at a/b"),
        ('{"a/b": {"input": -1, "output": 1}}', "a/b -> input"),
        ('{"a/b": {"input": 1}}', "a/b -> output"),
        ('{"a/b": {"input": NaN, "output": 1}}', "a/b -> input"),
        ('{"a/b": {"input": 1, "output": 1, "outptu": 1}}', "outptu"),
        ('{"a/b": {"input": 1, "output": 1, "audio_hours": -1}}', "audio_hours"),
        ('{"a/b": {"input": 1, "output": 1, "output_limit": -1}}', "output_limit"),
    ],
)
def test_what_is_no_price_is_refused_and_named(setting: str, says: str) -> None:
    with pytest.raises(BadConfiguration, match="SHMASTRA_PRICES") as caught:
        read_own_prices(setting)
    assert says in str(caught.value)
