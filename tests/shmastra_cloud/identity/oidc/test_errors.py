from shmastra_cloud.identity.oidc import BadToken, OidcError, Refused, UnknownKey


def test_a_refusal_carries_oauths_word_and_an_unknown_key_is_a_bad_token() -> None:
    assert Refused("invalid_grant").code == "invalid_grant"
    assert issubclass(UnknownKey, BadToken)
    assert issubclass(Refused, OidcError)
