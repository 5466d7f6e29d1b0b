from shmastra_cloud.gateway import ModelRule, catalog, providers_from_env


def test_without_any_key_there_is_nothing() -> None:
    assert catalog(providers_from_env({})) == {"providers": [], "tiers": {}}


def test_the_demo_model_serves_every_tier_while_it_is_alone() -> None:
    alone = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/run/demo.sock"}))
    assert alone["providers"] == ["demo"]
    assert set(alone["tiers"].values()) == {"demo/smollm2-135m-instruct"}
    beside = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/x", "ANTHROPIC_API_KEY": "k"}))
    assert beside["tiers"]["best"].startswith("anthropic/")


def test_under_a_rule_only_allowed_models_are_offered() -> None:
    both = providers_from_env({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
    mixed = catalog(both, ModelRule(("openai/*", "anthropic/claude-opus-*"), ("openai/gpt-5",)))["tiers"]
    assert mixed["fast"] == mixed["general"] == "openai/gpt-5-mini"
    assert mixed["best"].startswith("anthropic/claude-opus-")
    best = catalog(both, ModelRule(("anthropic/claude-opus-*",)))["tiers"]
    assert set(best) == {"fast", "general", "best"}
    assert len(set(best.values())) == 1
    assert catalog(both, ModelRule(("google/*",)))["tiers"] == {}
