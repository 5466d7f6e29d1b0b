import pytest

from shmastra_cloud.sign_in_choice import SignIn, chosen_way

WORKOS = {"WORKOS_API_KEY": "sk", "WORKOS_CLIENT_ID": "client"}
OIDC = {"OIDC_ISSUER": "https://id", "OIDC_CLIENT_ID": "client"}
NONE = {"WORKOS_API_KEY": None, "WORKOS_CLIENT_ID": None}


@pytest.mark.parametrize(
    ("wanted", "workos", "oidc", "chosen"),
    [
        (None, NONE, {"OIDC_ISSUER": None}, "local"),
        (None, WORKOS, {"OIDC_ISSUER": None}, "workos"),
        (None, NONE, OIDC, "oidc"),
        ("local", WORKOS, OIDC, "local"),
        ("workos", WORKOS, OIDC, "workos"),
    ],
)
def test_the_way_is_what_is_said_or_what_is_configured(
    wanted: SignIn | None, workos: dict[str, str | None], oidc: dict[str, str | None], chosen: SignIn
) -> None:
    assert chosen_way(wanted, {"workos": workos, "oidc": oidc}) == chosen


@pytest.mark.parametrize("wanted", [None, "local", "workos"])
def test_a_provider_is_configured_wholly_or_not_at_all(wanted: SignIn | None) -> None:
    with pytest.raises(
        ValueError, match="WORKOS_CLIENT_ID is missing. Set all of WORKOS_API_KEY, WORKOS_CLI"
    ):
        chosen_way(wanted, {"workos": {**WORKOS, "WORKOS_CLIENT_ID": ""}})


def test_what_is_said_must_be_configured() -> None:
    with pytest.raises(
        ValueError, match="SHMASTRA_SIGN_IN is workos, but WORKOS_API_KEY, WORKOS_CLIENT_ID are"
    ):
        chosen_way("workos", {"workos": NONE})
    with pytest.raises(ValueError, match="SHMASTRA_SIGN_IN is oidc, which this version does not know"):
        chosen_way("oidc", {"workos": WORKOS})


def test_two_providers_need_a_word() -> None:
    with pytest.raises(ValueError, match="workos and oidc are configured: say in SHMASTRA_SIGN_IN which"):
        chosen_way(None, {"workos": WORKOS, "oidc": OIDC})
