from shmastra_cloud.gateway import catalog, providers_from_env


def test_without_any_key_there_is_nothing() -> None:
    assert catalog(providers_from_env({})) == {"providers": [], "tiers": {}}


def test_the_demo_model_serves_every_tier_while_it_is_alone() -> None:
    alone = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/run/demo.sock"}))
    assert alone["providers"] == ["demo"]
    assert set(alone["tiers"].values()) == {"demo/smollm2-135m-instruct"}
    beside = catalog(providers_from_env({"SHMASTRA_DEMO_SOCKET": "/x", "ANTHROPIC_API_KEY": "k"}))
    assert beside["tiers"]["best"].startswith("anthropic/")
