"""Which way of signing in a configuration chooses; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

SignIn = Literal["local", "workos", "oidc"]


def chosen_way(wanted: SignIn | None, given: Mapping[SignIn, Mapping[str, object | None]]) -> SignIn:
    """Return what ``SHMASTRA_SIGN_IN`` says or, without it, the way whose variables are set, else ``local``.

    ``given`` names for each provider the variables that it cannot do without, and what they hold.

    Raises:
        ValueError: some of a provider's variables are set and others are not; two providers are configured
            and nothing says which one is meant; the one that is meant is not configured.
    """
    complete: list[SignIn] = []
    for way, variables in given.items():
        lacking = [name for name, value in variables.items() if not value]
        if lacking and (way == wanted or len(lacking) < len(variables)):
            told = f"SHMASTRA_SIGN_IN is {way}, but " if way == wanted else f"{way} is configured in part: "
            raise ValueError(
                f"{told}{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing. Set all of "
                f"{', '.join(variables)}, or none"
            )
        if not lacking:
            complete.append(way)
    if wanted is not None:
        if wanted != "local" and wanted not in given:
            raise ValueError(f"SHMASTRA_SIGN_IN is {wanted}, which this version does not know")
        return wanted
    if len(complete) > 1:
        raise ValueError(
            f"{' and '.join(complete)} are configured: say in SHMASTRA_SIGN_IN which one is meant"
        )
    return complete[0] if complete else "local"
