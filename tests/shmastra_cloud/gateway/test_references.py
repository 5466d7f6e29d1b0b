from typing import Any

import pytest

from shmastra_cloud.gateway.references import references


def found(asked: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [tuple(reference) for reference in references(asked)]


@pytest.mark.parametrize(
    ("asked", "field", "name"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        ({"moderation": {"comparison_response_id": "r"}}, "comparison_response_id", "r"),
        ({"conversation": "conv_1"}, "conversation", "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conversation.id", "conv_1"),
        ({"Conversation": {"ID": "conv_1"}}, "Conversation.ID", "conv_1"),
        ({"input": [{"content": [{"type": "input_file", "file_id": "f"}]}]}, "file_id", "f"),
        ({"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file_id", "f"),
        ({"messages": [{"content": [{"source": {"type": "file", "file_id": "f"}}]}]}, "file_id", "f"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs"]}]}, "vector_store_ids", "vs"),
        ({"tools": [{"container": {"type": "auto", "file_ids": ["f"]}}]}, "file_ids", "f"),
        ({"tools": [{"container": "cntr_1"}]}, "container", "cntr_1"),
        ({"container": {"id": "c", "skills": []}}, "container.id", "c"),
        ({"container": {"skills": [{"type": "custom", "skill_id": "skill_1"}]}}, "skill_id", "skill_1"),
        ({"tools": [{"environment": {"container_id": "c"}}]}, "container_id", "c"),
        ({"input": [{"type": "code_interpreter_call", "container_id": "c"}]}, "container_id", "c"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt.id", "pmpt_1"),
        ({"prompt": {"variables": {"x": {"type": "input_file", "file_id": "f"}}}}, "file_id", "f"),
        ({"cachedContent": "cachedContents/x"}, "cachedContent", "cachedContents/x"),
        ({"cached_content": "cachedContents/x"}, "cached_content", "cachedContents/x"),
        ({"tools": [{"fileSearch": {"fileSearchStoreNames": ["s/x"]}}]}, "fileSearchStoreNames", "s/x"),
        ({"input_file_id": "f"}, "input_file_id", "f"),
        ({"training_file": "f"}, "training_file", "f"),
        ({"file_id": ["f"]}, "file_id", "f"),
        ({"FILEID": "f"}, "FILEID", "f"),
        ({"input": [{"type": "input_file", "file_id": 5}]}, "file_id", None),
        ({"vector_store_ids": [5]}, "vector_store_ids", None),
        ({"conversation": True}, "conversation", None),
        ({"contents": [{"functionResponse": {"parts": [{"file_id": "f"}]}}]}, "file_id", "f"),
    ],
)
def test_an_id_is_found_wherever_it_stands(asked: dict[str, Any], field: str, name: str | None) -> None:
    assert found(asked) == [(field, name)]


@pytest.mark.parametrize(
    "asked",
    [
        {"metadata": {"file_id": "mine", "conversation": "x"}},
        {"tools": [{"parameters": {"default": {"file_id": "x"}}}, {"input_schema": {"file_id": "x"}}]},
        {"messages": [{"content": [{"type": "tool_use", "input": {"file_id": "x"}}]}]},
        {"contents": [{"parts": [{"functionCall": {"args": {"file_id": "x"}}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"response": {"container": "x"}}}]}]},
        {"messages": [{"content": [{"type": "bash_code_execution_output", "file_id": "f"}]}]},
        {"prompt": "say hello"},
        {"prompt": ["a", "b"][:0]},
        {"previous_response_id": None, "conversation": None, "container": {"type": "auto"}},
        {"conversation": "auto"},
        {"container": {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}},
    ],
)
def test_what_is_no_id_is_left_alone(asked: dict[str, Any]) -> None:
    assert found(asked) == []


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", "files/abc"),
        ("HTTPS://GenerativeLanguage.GoogleAPIs.com/v1beta/files/abc?x=1", "files/abc"),
        ("https://generativelanguage.googleapis.com./v1beta/files/abc", "files/abc"),
        ("files/abc", "files/abc"),
        ("https://generativelanguage.%67oogleapis.com/v1beta/files/abc", "files/abc"),
        ("https:\\\\generativelanguage.googleapis.com/files/abc", "files/abc"),
        ("gs://bucket/secret", None),
        ("https://storage.googleapis.com/x", None),
    ],
)
def test_a_file_at_google_is_named_by_its_address(uri: str, name: str | None) -> None:
    asked = {"contents": [{"parts": [{"fileData": {"fileUri": uri}}]}]}
    assert found(asked) == [("fileUri", name)]


@pytest.mark.parametrize("uri", ["https://www.youtube.com/watch?v=1", "https://example.com/files/x"])
def test_an_address_elsewhere_is_nobodys(uri: str) -> None:
    assert found({"contents": [{"parts": [{"file_data": {"file_uri": uri}}]}]}) == []
