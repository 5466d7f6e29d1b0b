import uuid

from shmastra_cloud.workspaces.env_file import env_file


def test_it_holds_the_virtual_key_under_every_providers_name_and_nothing_else() -> None:
    user = uuid.uuid4()
    text = env_file(user_id=user, virtual_key="vk_1", mastra_token="tok", gateway_url="http://127.0.0.1:4000")
    values = dict(line.split("=", 1) for line in text.splitlines())
    keys = {name: value for name, value in values.items() if name.endswith("API_KEY")}
    assert set(keys.values()) == {"vk_1"}
    assert len(keys) == 5
    assert values["OPENAI_BASE_URL"] == "http://127.0.0.1:4000/api/gateway/openai/v1"
    assert values["ANTHROPIC_BASE_URL"].endswith("/api/gateway/anthropic/v1")
    assert values["GOOGLE_GENERATIVE_AI_BASE_URL"].endswith("/api/gateway/google/v1beta")
    assert values["COMPOSIO_BASE_URL"].endswith("/api/gateway/composio")
    assert (values["MASTRA_AUTH_TOKEN"], values["USER_ID"]) == ("tok", str(user))
    assert (values["MASTRA_API_PREFIX"], values["MASTRA_STUDIO_BASE_PATH"]) == ("/api/mastra", "/studio")


def test_further_providers_are_there_under_every_name_that_their_sdks_know() -> None:
    text = env_file(
        user_id=uuid.uuid4(),
        virtual_key="vk_1",
        mastra_token="tok",
        gateway_url="https://cloud.example",
        further=["acme-llm", "azure", "together"],
    )
    values = dict(line.split("=", 1) for line in text.splitlines())
    for prefix, name in (
        ("ACME_LLM", "acme-llm"),
        ("AZURE", "azure"),
        ("AZURE_OPENAI", "azure"),
        ("TOGETHER", "together"),
        ("TOGETHERAI", "together"),
    ):
        assert values[f"{prefix}_API_KEY"] == "vk_1"
        assert values[f"{prefix}_BASE_URL"] == f"https://cloud.example/api/gateway/{name}/v1"
    assert "GROQ_API_KEY" not in values
