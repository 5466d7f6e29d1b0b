"""The usage objects of the official SDKs' types, priced by hand (USD a million tokens, November 2026)."""

import json
from decimal import Decimal
from typing import Any

import pytest
from anthropic.types import CacheCreation, OutputTokensDetails, ServerToolUsage
from anthropic.types import Usage as AnthropicUsage
from genai_prices.data_units import unit_data
from google.genai.types import GenerateContentResponseUsageMetadata as GoogleUsage
from google.genai.types import MediaModality, ModalityTokenCount
from openai.types.audio.transcription import UsageDuration, UsageTokens, UsageTokensInputTokenDetails
from openai.types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from openai.types.create_embedding_response import Usage as EmbeddingUsage
from openai.types.images_response import Usage as ImagesUsage
from openai.types.images_response import UsageInputTokensDetails, UsageOutputTokensDetails
from openai.types.responses.response_usage import InputTokensDetails, ResponseUsage
from openai.types.responses.response_usage import OutputTokensDetails as ResponseDetails
from pydantic import BaseModel

from shmastra_cloud.gateway.prices import Cost, Prices
from shmastra_cloud.gateway.tokens import MAX_SECONDS, MAX_TOKENS, NOTHING, Tokens, read_usage, tells_usage

PRICES = Prices()


def modality(kind: MediaModality, count: int) -> ModalityTokenCount:
    return ModalityTokenCount(modality=kind, token_count=count)


CHAT = CompletionUsage(
    prompt_tokens=1000,
    completion_tokens=500,
    total_tokens=1500,
    prompt_tokens_details=PromptTokensDetails(audio_tokens=0, cached_tokens=100),
    completion_tokens_details=CompletionTokensDetails(audio_tokens=0, reasoning_tokens=200),
)
AUDIO = CompletionUsage(
    prompt_tokens=100,
    completion_tokens=30,
    total_tokens=130,
    prompt_tokens_details=PromptTokensDetails(audio_tokens=50, cached_tokens=0, text_tokens=50),
    completion_tokens_details=CompletionTokensDetails(audio_tokens=20, text_tokens=10),
)
RESPONSE = ResponseUsage(
    input_tokens=1000,
    input_tokens_details=InputTokensDetails(cached_tokens=100, cache_write_tokens=0),
    output_tokens=500,
    output_tokens_details=ResponseDetails(reasoning_tokens=200),
    total_tokens=1500,
)
IMAGES = ImagesUsage(
    input_tokens=110,
    input_tokens_details=UsageInputTokensDetails(image_tokens=100, text_tokens=10),
    output_tokens=4160,
    total_tokens=4270,
)
IMAGES_AND_TEXT = ImagesUsage(
    input_tokens=110,
    input_tokens_details=UsageInputTokensDetails(image_tokens=100, text_tokens=10),
    output_tokens=1100,
    output_tokens_details=UsageOutputTokensDetails(image_tokens=1000, text_tokens=100),
    total_tokens=1210,
)
TRANSCRIBED = UsageTokens(
    type="tokens",
    input_tokens=1000,
    output_tokens=100,
    total_tokens=1100,
    input_token_details=UsageTokensInputTokenDetails(audio_tokens=900, text_tokens=100),
)
CLAUDE = AnthropicUsage(
    input_tokens=700,
    cache_read_input_tokens=100,
    cache_creation_input_tokens=200,
    cache_creation=CacheCreation(ephemeral_5m_input_tokens=100, ephemeral_1h_input_tokens=100),
    output_tokens=500,
    output_tokens_details=OutputTokensDetails(thinking_tokens=300),
    server_tool_use=ServerToolUsage(web_search_requests=2, web_fetch_requests=1),
    service_tier="standard",
)
GEMINI = GoogleUsage(
    prompt_token_count=1000,
    prompt_tokens_details=[modality(MediaModality.TEXT, 800), modality(MediaModality.AUDIO, 200)],
    cached_content_token_count=300,
    cache_tokens_details=[modality(MediaModality.TEXT, 250), modality(MediaModality.AUDIO, 50)],
    candidates_token_count=100,
    thoughts_token_count=400,
    tool_use_prompt_token_count=50,
    total_token_count=1550,
)
GEMINI_IMAGE = GoogleUsage(
    prompt_token_count=10,
    prompt_tokens_details=[modality(MediaModality.TEXT, 10)],
    candidates_token_count=1300,
    candidates_tokens_details=[modality(MediaModality.IMAGE, 1290)],
    total_token_count=1310,
)


@pytest.mark.parametrize(
    ("provider", "model", "told", "tokens", "usd"),
    [
        # 900 x 1.25 + 100 x 0.125 + 500 x 10
        ("openai", "gpt-5", CHAT, Tokens(1000, 100, 200, 500), "0.0061375"),
        ("openai", "gpt-5", RESPONSE, Tokens(1000, 100, 200, 500), "0.0061375"),
        # 50 x 2.5 + 50 x 32 + 10 x 10 + 20 x 64
        (
            "openai",
            "gpt-audio",
            AUDIO,
            Tokens(100, 0, 0, 30, more={"input_audio_tokens": 50, "output_audio_tokens": 20}),
            "0.003105",
        ),
        (
            "openai",
            "text-embedding-3-small",
            EmbeddingUsage(prompt_tokens=8, total_tokens=8),
            Tokens(8),
            "0.00000016",
        ),
        # 10 x 5 + 100 x 10 + 4160 x 40
        (
            "openai",
            "gpt-image-1",
            IMAGES,
            Tokens(110, 0, 0, 4160, more={"input_image_tokens": 100, "output_image_tokens": 4160}),
            "0.16745",
        ),
        # 10 x 5 + 100 x 8 + 100 x 10 + 1000 x 32
        (
            "openai",
            "chatgpt-image-latest",
            IMAGES_AND_TEXT,
            Tokens(110, 0, 0, 1100, more={"input_image_tokens": 100, "output_image_tokens": 1000}),
            "0.03385",
        ),
        # 100 x 2.5 + 900 x 6 + 100 x 10
        (
            "openai",
            "gpt-4o-transcribe",
            TRANSCRIBED,
            Tokens(1000, 0, 0, 100, more={"input_audio_tokens": 900}),
            "0.00665",
        ),
        # 0.36 an hour
        (
            "openai",
            "whisper-1",
            UsageDuration(type="duration", seconds=90),
            Tokens(more={"audio_seconds": 90}),
            "0.009",
        ),
        # 700 x 3 + 100 x 0.3 + 100 x 3.75 + 100 x 6 + 500 x 15 + 2 searches at 0.01
        (
            "anthropic",
            "claude-sonnet-4-5",
            CLAUDE,
            Tokens(
                1000, 100, 300, 500, cache_write=200, more={"cache_write_1h_tokens": 100, "web_searches": 2}
            ),
            "0.030605",
        ),
        # text: 600 x 0.3 + 250 x 0.03, audio: 150 x 1 + 50 x 0.1, 500 x 2.5
        (
            "google",
            "gemini-2.5-flash",
            GEMINI,
            Tokens(1050, 300, 400, 500, more={"input_audio_tokens": 200, "cache_audio_read_tokens": 50}),
            "0.0015925",
        ),
        # 10 x 0.3 + 1290 x 30 + 10 x 2.5
        (
            "google",
            "gemini-2.5-flash-image",
            GEMINI_IMAGE,
            Tokens(10, 0, 0, 1300, more={"output_image_tokens": 1290}),
            "0.038728",
        ),
    ],
)
def test_the_shapes_of_the_official_sdks_are_read_and_cost_what_they_should(
    provider: str, model: str, told: BaseModel, tokens: Tokens, usd: str
) -> None:
    usage = json.loads(told.model_dump_json(by_alias=True, exclude_none=provider == "google"))
    assert tells_usage(usage)
    assert read_usage(usage) == tokens
    assert PRICES.cost(provider, model, tokens) == Cost(Decimal(usd))
    assert set(tokens.more) <= set(unit_data)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # xAI counts reasoning apart from what it completed; DeepSeek names what was cached in its own way
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Tokens(10, 0, 20, 25),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Tokens(10, 4, 0, 5)),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 0, "output_tokens": 4, "speed": "fast"},
            Tokens(3, output=4, tier="fast"),
        ),
        (
            {
                "input_tokens": 3,
                "cache_read_input_tokens": 0,
                "inference_geo": "us",
                "service_tier": "priority",
            },
            Tokens(3, tier="us"),
        ),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 0, "service_tier": "priority"},
            Tokens(3, tier="priority"),
        ),
        ({"prompt_tokens": 10, "prompt_tokens_details": None, "completion_tokens_details": 3}, Tokens(10)),
        ({"prompt_tokens": -1, "completion_tokens": True}, Tokens()),
        ({"prompt_tokens": 10**20, "completion_tokens": 4}, Tokens(MAX_TOKENS, output=4)),
        ({"type": "duration", "seconds": 1e300}, Tokens(more={"audio_seconds": MAX_SECONDS})),
        ({"type": "duration", "seconds": "9"}, Tokens()),
        ({"type": "duration", "seconds": float("nan")}, Tokens()),
        (
            {"promptTokenCount": 3, "promptTokensDetails": [None, {"modality": "AUDIO", "tokenCount": "x"}]},
            Tokens(3),
        ),
        # how much of what was cached was audio is not told: as little as can be
        (
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 70, "audio_tokens": 50},
            },
            Tokens(100, 70, more={"input_audio_tokens": 50, "cache_audio_read_tokens": 20}),
        ),
    ],
)
def test_what_providers_vary_and_what_none_would_say(usage: dict[str, Any], tokens: Tokens) -> None:
    assert read_usage(usage) == tokens


def test_an_object_is_told_from_one_that_counts_nothing() -> None:
    assert not any(map(tells_usage, [None, [], {}, {"type": "duration"}, {"tokens": "3"}, {"usage": 3}]))


def test_nothing_used_is_nothing() -> None:
    assert Tokens() == (0, 0, 0, 0, False, 0, NOTHING, None)
    assert not NOTHING
