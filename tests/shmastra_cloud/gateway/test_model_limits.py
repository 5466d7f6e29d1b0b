import pytest

from shmastra_cloud.gateway.model_limits import DEFAULT_OUTPUT_LIMIT, hides_output, output_limit


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gpt-5", 128_000),
        ("gpt-5-mini-2025-08-07", 128_000),
        ("gpt-5-chat-latest", 16_384),
        ("gpt-4o-mini", 16_384),
        ("gpt-4.1-nano", 32_768),
        ("openai/gpt-4.1", 32_768),
        ("gpt-4", 8192),
        ("gpt-3.5-turbo", 4096),
        ("o3", 100_000),
        ("o1-mini", 65_536),
        ("text-embedding-3-large", 0),
        ("whisper-1", 0),
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-latest", 8192),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-sonnet-4-5", 64_000),
        ("anthropic/claude-sonnet-4.5", DEFAULT_OUTPUT_LIMIT),
        ("us.anthropic.claude-opus-4-5", 64_000),
        ("gemini-2.0-flash", 8192),
        ("gemini-2.5-pro", 65_536),
        ("gemini-3-pro-preview", 65_536),
        ("something-new", DEFAULT_OUTPUT_LIMIT),
        (None, DEFAULT_OUTPUT_LIMIT),
    ],
)
def test_a_models_longest_answer_is_known_or_taken_to_be_long(model: str | None, limit: int) -> None:
    assert output_limit(model) == limit


@pytest.mark.parametrize(
    "model",
    [
        "o1",
        "o3-mini",
        "o4-mini",
        "gpt-5",
        "gpt-5.1-codex",
        "gpt-6",
        "codex-mini-latest",
        "openai/gpt-5-nano",
        "gemini-2.5-flash",
        "gemini-3-pro-preview",
        "google/gemini-2.5-pro",
        "gemini-flash-latest",
        "claude-sonnet-4-5",
        "claude-opus-4-1",
        "anthropic/claude-opus-4.6",
        "claude-5-sonnet",
        "grok-4",
    ],
)
def test_models_that_think_unseen(model: str) -> None:
    assert hides_output(model)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4.1",
        "gpt-5-chat-latest",
        "gpt-oss-120b",
        "openai/gpt-oss-20b",
        "text-embedding-3-small",
        "gemini-1.5-pro",
        "gemini-2.0-flash",
        "gemini-2.5-flash-image",
        "claude-3-5-haiku-latest",
        "claude-3.5",
        "claude-2.1",
        "claude-instant-1",
        "deepseek-reasoner",
        "llama-3.3-70b",
        "grok-3",
    ],
)
def test_models_that_show_all_they_produce(model: str) -> None:
    assert not hides_output(model)
    assert not hides_output(None)
