"""Signing in with WorkOS: its members come in, whom it removes is out, and sessions end where it ends them.

WorkosError (an IdentityError)
├── Away             WorkOS gave no usable answer in time; the same may work in a moment
│   └── KeyRefused   it refuses our API key or client id
├── Refused          it refuses a code, or a session that has ended
├── Unverified       it has not verified his email
├── NotMember        he has no active membership in our organization
└── BadWebhook       a delivery that WorkOS did not sign, or not just now
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request

from shmastra_cloud.identity.ways import Way
from shmastra_cloud.identity.workos import by_email, redirect, webhook
from shmastra_cloud.identity.workos.checking import Checking
from shmastra_cloud.identity.workos.entering import goodbye
from shmastra_cloud.identity.workos.errors import (
    Away,
    BadWebhook,
    KeyRefused,
    NotMember,
    Refused,
    Unverified,
    WorkosError,
)
from shmastra_cloud.identity.workos.members import Members
from shmastra_cloud.identity.workos.parts import Parts
from shmastra_cloud.identity.workos.provider import Provider
from shmastra_cloud.identity.workos.trail import Trails
from shmastra_cloud.identity.workos.watching import Watching

if TYPE_CHECKING:
    from shmastra_cloud.identity.sessions import Provided
    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings

__all__ = [
    "Away",
    "BadWebhook",
    "KeyRefused",
    "NotMember",
    "Provider",
    "Refused",
    "Unverified",
    "WorkosError",
    "workos_ways",
]


def _goodbye(its: Parts, ended: Provided) -> str | None:
    return None if ended.session is None else goodbye(its, ended.session)


def workos_ways(settings: Settings, vault: Vault, users: Users) -> tuple[Way, ...]:
    """Return the two ways in that WorkOS offers: its own page, and a code by email."""
    assert settings.workos_cookie_password is not None  # noqa: S101 -- the settings hold all four or none
    provider = Provider(settings)
    members = Members(users, provider, settings.workos_admin_roles)
    its = Parts(provider, Trails(settings.workos_cookie_password.get_secret_value()), members, users, vault)

    def bind(request: Request) -> None:
        request.state.workos = its

    bound = APIRouter(dependencies=[Depends(bind)])
    for router in (redirect.router, by_email.router, webhook.router):
        bound.include_router(router)
    watching = Watching(users.pool, provider, members)
    checking = Checking(users.pool, vault, provider, members)
    page = Way(
        label="Sign in with WorkOS",
        start="/login/workos",
        router=bound,
        background=[watching.run(), checking.run()],
        closing=[provider.aclose, its.mails.aclose],
        source="workos",
        goodbye=partial(_goodbye, its),
        hooks=frozenset({webhook.WEBHOOK}),
    )
    return page, Way(label="Get a code by email", start="/login/workos/email", router=APIRouter())
