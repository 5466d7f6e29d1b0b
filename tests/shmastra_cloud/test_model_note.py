from shmastra_cloud.gateway import providers_from_env
from shmastra_cloud.model_note import DEMO, NONE, UNSAID, model_note


def test_the_note_says_what_answers_and_what_to_set() -> None:
    demo = {"SHMASTRA_DEMO_SOCKET": "/run/demo.sock"}
    assert model_note(providers_from_env(demo)) == DEMO
    assert model_note(providers_from_env({})) == NONE
    assert "tiny demo model, often wrong; set OPENAI_API_KEY" in DEMO
    assert all("GOOGLE_GENERATIVE_AI_API_KEY" in note for note in (DEMO, NONE))


def test_a_real_provider_needs_no_note_even_beside_the_demo_model() -> None:
    environ = {"SHMASTRA_DEMO_SOCKET": "/run/demo.sock", "ANTHROPIC_API_KEY": "sk-1"}
    assert model_note(providers_from_env(environ)) is None


def test_a_provider_whose_models_are_not_known_needs_one_to_be_named() -> None:
    providers = providers_from_env({"VLLM_BASE_URL": "http://127.0.0.1:8000/v1"})
    assert model_note(providers) == UNSAID
    assert model_note(providers, {"general": "vllm/qwen"}) is None
