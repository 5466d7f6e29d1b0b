import pytest

from shmastra_cloud.gateway import BadConfiguration, ModelRule, catalog, chosen_models, providers_from_env
from shmastra_cloud.gateway.catalog import Catalog


def told(**environ: str) -> Catalog:
    providers = providers_from_env(environ)
    return catalog(providers, chosen_models(environ, providers))


def test_without_any_key_there_is_nothing() -> None:
    assert catalog(providers_from_env({})) == {"providers": [], "tiers": {}}


def test_the_demo_model_serves_every_tier_while_it_is_alone() -> None:
    alone = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/run/demo.sock"}))
    assert alone["providers"] == ["demo"]
    assert set(alone["tiers"].values()) == {"demo/smollm2-135m-instruct"}
    beside = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/x", "ANTHROPIC_API_KEY": "k"}))
    assert beside["tiers"]["best"].startswith("anthropic/")


def test_a_further_provider_serves_the_tiers_where_it_is_the_only_one() -> None:
    alone = told(GROQ_API_KEY="k", SHMASTRA_DEMO_SOCKET="/x")
    assert alone["providers"] == ["demo", "groq"]
    assert alone["tiers"]["fast"] == "groq/openai/gpt-oss-20b"
    beside = told(GROQ_API_KEY="k", GOOGLE_GENERATIVE_AI_API_KEY="k")
    assert beside["tiers"]["fast"].startswith("google/")


LAB = "lab=http://10.0.0.5:8000/v1"


def test_whose_models_are_not_known_serves_no_tier_until_an_admin_says_which() -> None:
    assert told(SHMASTRA_PROVIDERS=LAB) == {"providers": ["lab"], "tiers": {}}
    one = told(SHMASTRA_PROVIDERS=LAB, SHMASTRA_MODELS_GENERAL="lab/qwen/qwen3", SHMASTRA_DEMO_SOCKET="/x")
    assert one["tiers"] == dict.fromkeys(("fast", "general", "best"), "lab/qwen/qwen3")
    two = told(SHMASTRA_PROVIDERS=LAB, SHMASTRA_MODELS_FAST="lab/small", SHMASTRA_MODELS_BEST="lab/large")
    assert two["tiers"] == {"fast": "lab/small", "general": "lab/large", "best": "lab/large"}


def test_an_admins_choice_goes_before_a_providers_own_models_tier_by_tier() -> None:
    mixed = told(OPENAI_API_KEY="k", SHMASTRA_PROVIDERS=LAB, SHMASTRA_MODELS_FAST="lab/small")
    assert mixed["tiers"] == {"fast": "lab/small", "general": "openai/gpt-5", "best": "openai/gpt-5"}


def test_a_choice_of_who_has_no_key_counts_as_none() -> None:
    assert told(OPENAI_API_KEY="k", SHMASTRA_MODELS_FAST="groq/x")["tiers"]["fast"].startswith("openai/")


@pytest.mark.parametrize("value", ["gpt-5", "nobody/x", "openai/", "/x", "openai/a b", "composio/x"])
def test_what_names_no_model_is_refused(value: str) -> None:
    with pytest.raises(BadConfiguration, match="SHMASTRA_MODELS_BEST"):
        told(OPENAI_API_KEY="k", SHMASTRA_MODELS_BEST=value)


def test_under_a_rule_only_allowed_models_are_offered() -> None:
    both = providers_from_env({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})

    def tiers(rule: ModelRule, **chosen: str) -> dict[str, str]:
        return catalog(both, chosen, rule)["tiers"]

    mixed = tiers(ModelRule(("openai/*", "anthropic/claude-opus-*"), ("openai/gpt-5",)))
    assert mixed["fast"] == "openai/gpt-5-mini"
    assert mixed["best"].startswith("anthropic/claude-opus-")
    assert mixed["general"] == mixed["best"]
    best = tiers(ModelRule(("anthropic/claude-opus-*",)))
    assert set(best) == {"fast", "general", "best"}
    assert len(set(best.values())) == 1
    assert tiers(ModelRule(("google/*",))) == {}
    rule = ModelRule(("openai/*", "anthropic/claude-opus-*"))
    assert tiers(rule, fast="anthropic/claude-x", best="anthropic/claude-opus-9") == {
        "fast": "openai/gpt-5-mini",
        "general": "openai/gpt-5",
        "best": "anthropic/claude-opus-9",
    }
