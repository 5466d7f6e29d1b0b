import pytest
from pydantic import ValidationError

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
    assert not load_settings().demo_wanted({"GROQ_API_KEY": "x"})
    vllm = {"VLLM_BASE_URL": "http://127.0.0.1:8000/v1"}
    assert load_settings().demo_wanted(vllm)
    assert not load_settings().demo_wanted({**vllm, "SHMASTRA_MODELS_FAST": "vllm/qwen"})
    monkeypatch.setenv("SHMASTRA_DEMO_MODEL", "on")
    assert load_settings().demo_wanted({"ANTHROPIC_API_KEY": "x"})
    monkeypatch.setenv("SHMASTRA_DEMO_MODEL", "off")
    assert not load_settings().demo_wanted({})


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "cloud.example.com"])
def test_plain_http_is_for_loopback_only(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_HOST", host)
    with pytest.raises(ValidationError, match="SHMASTRA_PUBLIC_URL.*SHMASTRA_INSECURE_HTTP=1"):
        load_settings()
    monkeypatch.setenv("SHMASTRA_INSECURE_HTTP", "1")
    assert load_settings().public_url == f"http://{host}:3000"
    monkeypatch.delenv("SHMASTRA_INSECURE_HTTP")
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://cloud.example.com")
    assert load_settings().https


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000", "https://localhost", "http://cloud.example.com"])
def test_sandboxes_elsewhere_need_an_https_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_x")
    monkeypatch.setenv("SHMASTRA_GATEWAY_URL", url)
    with pytest.raises(ValidationError, match="cannot reach.*SHMASTRA_GATEWAY_URL"):
        load_settings()


@pytest.mark.parametrize(
    "url", ["cloud.example.com", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q"]
)
def test_an_address_that_is_none_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", url)
    with pytest.raises(ValidationError, match="SHMASTRA_PUBLIC_URL must be like"):
        load_settings()


def test_an_ipv6_host_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_HOST", "::1")
    assert load_settings().public_url == "http://[::1]:3000"


WORKOS = {
    "WORKOS_API_KEY": "sk_test_key",
    "WORKOS_CLIENT_ID": "client_1",
    "WORKOS_ORGANIZATION_ID": "org_1",
    "WORKOS_COOKIE_PASSWORD": "a-password-of-32-characters-here",
}


def test_nobody_signs_in_with_a_provider_while_none_is_configured() -> None:
    assert load_settings().sign_in == "local"


def test_workos_is_chosen_once_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WORKOS.items():
        monkeypatch.setenv(name, value)
    assert load_settings().sign_in == "workos"
    assert load_settings().workos_admin_roles == {"admin"}
    monkeypatch.setenv("SHMASTRA_WORKOS_ADMIN_ROLES", "owner, org-admin,")
    assert load_settings().workos_admin_roles == {"owner", "org-admin"}
    assert "sk_test_key" not in repr(load_settings())
    assert WORKOS["WORKOS_COOKIE_PASSWORD"] not in repr(load_settings())


@pytest.mark.parametrize("name", sorted(WORKOS))
def test_workos_configured_in_part_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in WORKOS.items():
        if other != name:
            monkeypatch.setenv(other, value)
    with pytest.raises(ValidationError, match=f"{name} is missing"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKOS_COOKIE_PASSWORD", "short"),
        ("WORKOS_BASE_URL", "http://api.example.com"),
        ("WORKOS_BASE_URL", "nonsense"),
    ],
)
def test_what_would_give_a_secret_of_workos_away_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other, good in WORKOS.items():
        monkeypatch.setenv(other, good)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name):
        load_settings()


def test_mail_that_cannot_be_sent_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().smtp is None
    monkeypatch.setenv("SHMASTRA_SMTP_URL", "smtp://relay:hidden@mail.example.com")
    with pytest.raises(ValidationError, match="SHMASTRA_MAIL_FROM") as refused:
        load_settings()
    assert "hidden" not in refused.value.errors()[0]["msg"]
    monkeypatch.setenv("SHMASTRA_MAIL_FROM", "team@example.com")
    found = load_settings()
    assert found.smtp is not None
    assert found.smtp.host == "mail.example.com"
    assert "hidden" not in repr(found)
