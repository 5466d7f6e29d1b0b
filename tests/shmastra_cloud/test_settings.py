import pytest

from shmastra_cloud.settings import load_settings


def test_sandboxes_reach_the_gateway_through_loopback_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://cloud.example.com/")
    assert load_settings().gateway_url == "http://127.0.0.1:4000"
    monkeypatch.setenv("E2B_API_KEY", "e2b_x")
    assert load_settings().gateway_url == "https://cloud.example.com"


def test_the_demo_model_goes_as_soon_as_a_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().demo_wanted({})
    assert not load_settings().demo_wanted({"ANTHROPIC_API_KEY": "x"})
    monkeypatch.setenv("SHMASTRA_DEMO_MODEL", "on")
    assert load_settings().demo_wanted({"ANTHROPIC_API_KEY": "x"})
    monkeypatch.setenv("SHMASTRA_DEMO_MODEL", "off")
    assert not load_settings().demo_wanted({})


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(load_settings())
