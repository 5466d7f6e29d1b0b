import datetime as dt
import sys
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.data import providers as tables
from genai_prices.types import ModelPrice, TieredPrices, Usage
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.gateway import prices as module
from shmastra_cloud.gateway.own_prices import read_own_prices
from shmastra_cloud.gateway.presets import BUILT_IN, PRESETS
from shmastra_cloud.gateway.prices import MAX_COST, Cost, Prices
from shmastra_cloud.gateway.tokens import Tokens

PRICES = Prices()
GPT5 = ("openai", "gpt-5")


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "usd"),
    [
        # 900 x 1.25 + 100 x 0.125 + 500 x 10
        ("openai", "gpt-5", Tokens(1000, 100, 200, 500), "0.0061375"),
        ("openai", "gpt-5-2025-08-07", Tokens(1000, 100, 200, 500), "0.0061375"),
        # 700 x 3 + 100 x 0.3 + 200 x 3.75 + 500 x 15
        ("anthropic", "claude-sonnet-4-5", Tokens(1000, 100, 0, 500, cache_write=200), "0.01038"),
        # beyond 200,000 every token is dearer: 200,001 x 6 + 10 x 22.5
        ("anthropic", "claude-sonnet-4-5", Tokens(200_001, output=10), "1.200231"),
        ("anthropic", "claude-sonnet-4-5", Tokens(200_000, output=10), "0.60015"),
        ("google", "gemini-2.5-flash", Tokens(1000, 0, 0, 100), "0.00055"),
        ("gemini", "gemini-2.5-flash", Tokens(1000, 0, 0, 100), "0.00055"),
        ("openai", "text-embedding-3-small", Tokens(1000), "0.00002"),
        ("openai", "gpt-5", Tokens(1, tier="flex"), "0.00000062"),  # 0.000000625, to the even digit
        ("openai", "gpt-5", Tokens(1000, 0, 0, 100, tier="priority"), "0.0045"),
        ("openai", "gpt-5", Tokens(1000, 0, 0, 100, tier="default"), "0.00225"),
        ("demo", "any", Tokens(1000, 0, 0, 100), "0"),
        ("openrouter", "openai/gpt-oss-20b:free", Tokens(1000, 0, 0, 100), "0"),
        # 50 audio tokens at 32 of the 100, 20 at 64 of the 30
        (
            "openai",
            "gpt-audio",
            Tokens(100, output=30, more={"input_audio_tokens": 50, "output_audio_tokens": 20}),
            "0.003105",
        ),
        # 100 written for an hour at 6, 100 for five minutes at 3.75, 800 at 3, and two searches at 0.01
        (
            "anthropic",
            "claude-sonnet-4-5",
            Tokens(1000, cache_write=200, more={"cache_write_1h_tokens": 100, "web_searches": 2}),
            "0.023375",
        ),
        ("openai", "tts-1", Tokens(more={"input_characters": 1000}), "0.015"),
        ("openai", "whisper-1", Tokens(more={"audio_seconds": 60}), "0.006"),
        ("openai", "gpt-image-1", Tokens(110, output=4160, more={"input_image_tokens": 100}), "0.16745"),
    ],
)
def test_costs_worked_out_by_hand(provider: str, model: str, tokens: Tokens, usd: str) -> None:
    assert PRICES.cost(provider, model, tokens) == Cost(Decimal(usd))
    assert PRICES.price(provider, model, tokens) == Decimal(usd)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", None),
        ("openai", ""),
        ("vllm", "gpt-5"),
        ("ollama", "llama3"),
        ("my-openai", "gpt-unheard-of"),
        ("cerebras", "qwen-3-coder-480b"),  # in the tables, without a price
        ("openai", "whisper-1"),  # billed by the second, and none was told
        ("openai", "tts-1"),
    ],
)
def test_what_has_no_price_is_not_free(provider: str, model: str | None) -> None:
    assert PRICES.cost(provider, model, Tokens(1000, 0, 0, 100)) == Cost(None)


def test_a_provider_under_another_name_than_the_tables() -> None:
    for name, model in [
        ("xai", "grok-4"),
        ("groq", "llama-3.3-70b-versatile"),
        ("deepseek", "deepseek-chat"),
    ]:
        assert PRICES.price(name, model, Tokens(1000, output=100))
    for name, model in [("mistral", "mistral-large-latest"), ("azure", "gpt-4o"), ("moonshot", "kimi-k2")]:
        assert PRICES.price(name, model, Tokens(1000, output=100))


def test_the_models_that_serve_the_tiers_have_prices() -> None:
    served = [(kind.name, model) for kind in (*BUILT_IN, *PRESETS) for model in kind.models or ()]
    unpriced = {name for name in served if PRICES.price(*name, Tokens(1000, output=100)) is None}
    assert unpriced == {("together", "openai/gpt-oss-20b")}  # not in the tables of genai-prices 0.2.3


def test_a_guess_is_told_from_an_exact_price() -> None:
    assert PRICES.cost(*GPT5, Tokens(1000, tier="ultrafast")) == Cost(Decimal("0.00125"), exact=False)
    told = Tokens(100, output=0, more={"input_audio_tokens": 50})
    assert not PRICES.cost("openai", "gpt-4o-audio-preview", told).exact
    torn = Tokens(10, output=0, more={"input_audio_tokens": 50})
    assert PRICES.cost("openai", "gpt-audio", torn) == Cost(Decimal("0.000025"), exact=False)
    assert PRICES.cost(
        "openai", "whisper-1", Tokens(more={"audio_seconds": 1, "input_audio_seconds": 2})
    ) == Cost(None)


def test_counts_that_no_one_can_have_used_are_held_to_their_wholes_and_to_what_a_row_holds() -> None:
    assert PRICES.price(*GPT5, Tokens(10, 1000, 0, 0, cache_write=1000)) == Decimal("0.00000125")
    most = Tokens(2**31 - 1, output=2**31 - 1)
    assert PRICES.price("openai", "o1-pro", most) == MAX_COST
    assert PRICES.estimate_upper("openai", "o1-pro", 2**31 - 1, 2**31 - 1) == MAX_COST


def test_an_admins_price_goes_before_the_tables_and_before_the_rule() -> None:
    prices = Prices(
        read_own_prices(
            '{"vllm/*": {"input": 1, "output": 2, "output_limit": 5}, "demo/*": {"input": 3, "output": 3}}'
        )
    )
    assert prices.cost("vllm", "x", Tokens(1000, 500, 0, 100)) == Cost(Decimal("0.0012"))
    assert prices.price("demo", "x", Tokens(1000)) == Decimal("0.003")
    assert not prices.cost("vllm", "x", Tokens(1000, tier="flex")).exact
    assert prices.estimate_upper("vllm", "x", 1000, 5) == Decimal("0.00101")
    assert (prices.output_limit("vllm", "x"), prices.output_limit(*GPT5)) == (5, 128_000)


@given(
    st.sampled_from(
        [GPT5, ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"), ("xai", "grok-4")]
    ),
    st.integers(0, 400_000),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_compiled_prices_are_the_packages_own(
    name: tuple[str, str], rest: int, cached: int, written: int, output: int
) -> None:
    used = Tokens(rest + cached + written, cached, 0, output, cache_write=written)
    usage = Usage(
        input_tokens=used.input, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=output
    )
    provider = {"xai": "x-ai"}.get(name[0], name[0])
    theirs = genai_prices.calc_price(usage, name[1], provider_id=provider).total_price
    ours = PRICES.price(*name, used)
    assert ours == theirs.quantize(Decimal("0.00000001"))
    upper = PRICES.estimate_upper(*name, used.input, output)
    assert upper is not None
    assert ours is not None
    assert upper >= ours


@pytest.mark.parametrize(
    ("provider", "model", "input_tokens", "limit", "usd"),
    [
        ("openai", "gpt-5", 1000, 100, "0.00225"),
        # written to a cache for an hour, it costs twice as much
        ("anthropic", "claude-sonnet-4-5", 1000, 100, "0.0075"),
        ("anthropic", "claude-sonnet-4-5", 300_000, 100, "3.60225"),
        ("openai", "gpt-audio", 1000, 100, "0.0089"),
        ("openai", "tts-1", 250, 0, "0.015"),
        ("openai", "whisper-1", 900_000, 0, "0.36"),
        ("demo", "x", 1000, 100, "0"),
    ],
)
def test_the_most_that_a_call_may_cost(
    provider: str, model: str, input_tokens: int, limit: int, usd: str
) -> None:
    assert PRICES.estimate_upper(provider, model, input_tokens, limit) == Decimal(usd)


def test_the_most_that_a_call_may_cost_follows_the_tier_and_is_unknown_without_a_price() -> None:
    assert PRICES.estimate_upper(*GPT5, 1000, 100, tier="priority") == Decimal("0.0045")
    assert PRICES.estimate_upper("vllm", "x", 1000, 100) is None


def test_names_made_up_by_a_caller_do_not_fill_the_memory() -> None:
    prices = Prices()
    for number in range(module._CACHED_MODELS + 10):
        assert prices.price("deepseek", f"x{number}", Tokens(1)) is None
    assert len(prices._compiled) == module._CACHED_MODELS
    kept = data_snapshot.get_snapshot()
    assert not any("x5" in str(key) for key in (*kept._provider_cache, *kept._lookup_cache))


def test_a_reseller_serves_no_tier_of_the_maker_and_bills_ten_seconds_at_least() -> None:
    assert PRICES.cost("azure", "gpt-5.1", Tokens(1000, tier="flex")) == Cost(Decimal("0.00125"), exact=False)
    short = Tokens(more={"audio_seconds": 2})
    assert PRICES.cost("groq", "whisper-large-v3", short) == Cost(Decimal("0.00030833"))
    assert PRICES.cost("groq", "whisper-large-v3", Tokens(more={"audio_seconds": 20})) == Cost(
        Decimal("0.00061667")
    )


def test_a_price_is_looked_up_again_when_the_hour_may_have_changed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prices = Prices()
    (deepseek,) = (each for each in tables if each.id == "deepseek")
    (model,) = (each for each in deepseek.models if each.id == "deepseek-reasoner")
    assert not isinstance(model.prices, ModelPrice)
    costs = set()
    for hour in range(24):
        now = dt.datetime(2025, 3, 1, hour, 45, tzinfo=dt.UTC)
        monkeypatch.setattr(module.time, "time", now.timestamp)
        cost = prices.price("deepseek", "deepseek-reasoner", Tokens(output=1_000_000))
        theirs = model.get_prices(now).output_mtok
        assert not isinstance(theirs, TieredPrices)
        assert cost == theirs
        costs.add(cost)
    assert len(costs) == 2


def test_the_demo_model_hides_nothing_and_others_may() -> None:
    assert not PRICES.hides_output("demo", "gpt-5")
    assert PRICES.hides_output(*GPT5)


def test_nothing_asks_the_network() -> None:
    updater = sys.modules["genai_prices.update_prices"]._shared_updater
    assert updater.ref_count == 0
