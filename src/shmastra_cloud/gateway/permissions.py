"""What a request that was let in may say: which model it wants, and whose things it names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shmastra_cloud.gateway.bodies import MAX_READ_BYTES, inspect
from shmastra_cloud.gateway.composio import owned_body
from shmastra_cloud.gateway.errors import NotOwned, RefusedRequest, TooLarge
from shmastra_cloud.gateway.references import references
from shmastra_cloud.gateway.strict import form_model

if TYPE_CHECKING:
    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.keys import KeyOwner
    from shmastra_cloud.gateway.model_rule import ModelRule
    from shmastra_cloud.gateway.ownership import Ownership
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Matched

MAX_FORM_BYTES = 26 * 1024 * 1024  # OpenAI takes files of 25 MB
_TOOLS_WITH_CONTAINERS = (b'"code_interpreter"', b'"code_execution', b'"shell"')


def read_limit(owner: KeyOwner, content_type: bytes) -> int:
    """Return how much of a body is read before it is sent on; of a form under a rule, all."""
    is_form = content_type.lower().startswith(b"multipart/")
    return MAX_FORM_BYTES if is_form and owner.models is not None else MAX_READ_BYTES


def hold_body(body: Body, content_type: bytes, provider: Provider, matched: Matched, owner: KeyOwner) -> None:
    """Read a body and hold what it says against what its sender may.

    Raises:
        RefusedRequest: it is not what the route takes, or can be read in two ways.
        RouteRefused: it asks for what would escape its owner or the meter.
        ModelRefused: it names a model that is not allowed, or none that can be told.

    """
    if provider.style == "composio":
        _act_as(str(owner.user_id), body, content_type, matched)
        return
    rule = owner.models
    inspect(body, matched.route, content_type.lower(), careful=rule is not None)
    if rule is not None:
        _hold_models(rule, body, content_type, provider, matched)


def _act_as(user: str, body: Body, content_type: bytes, matched: Matched) -> None:
    """Have a request to Composio act as the key's user; what is sent on is what was checked."""
    body.data = body.data or b"{}"
    inspect(body, matched.route, content_type.lower(), careful=True)
    body.accounts = tuple(dict.fromkeys(owned_body(matched.plain, body.fields, user)))
    body.data = json.dumps(body.fields).encode()


def _hold_models(
    rule: ModelRule, body: Body, content_type: bytes, provider: Provider, matched: Matched
) -> None:
    needed = matched.route.spends
    if matched.model is not None:
        rule.check(provider.name, matched.model)
        needed = False
    if not content_type.lower().startswith(b"multipart/"):
        try:
            rule.check_body(provider.name, body.fields, needed=needed)
        except RecursionError as error:
            raise RefusedRequest("The body is nested too deeply.") from error
        return
    if not body.whole:
        raise TooLarge("A form may hold 26 MB at most where a rule says which models are allowed.")
    model = form_model(body.data, content_type)
    if needed or model is not None:
        rule.check(provider.name, model)


async def hold_path(
    ownership: Ownership | None, provider: Provider, matched: Matched, owner: KeyOwner
) -> None:
    """Let a path name only what this user made.

    Raises:
        NotOwned: it names something else; the message names where, not what it is.
        OwnershipUnknown: the database cannot tell now.

    """
    for kind, name in matched.things:
        key = f"{kind}/{name}" if provider.style == "google" else name
        await _hold(ownership, f"The id after /{kind}/", key, provider, owner)


async def hold_ids(ownership: Ownership | None, body: Body, provider: Provider, owner: KeyOwner) -> None:
    """Let a body name only what this user made.

    Raises:
        NotOwned: it names something else; the message names the field, not what it is.
        OwnershipUnknown: the database cannot tell now.

    """
    try:
        for reference in references(body.fields):
            await _hold(ownership, reference.field, reference.id, provider, owner)
    except RecursionError as error:
        raise RefusedRequest("The body is nested too deeply.") from error


async def _hold(
    ownership: Ownership | None, field: str, name: str | None, provider: Provider, owner: KeyOwner
) -> None:
    if name is None or ownership is None:
        raise NotOwned(f"{field} names something in a way that cannot be checked here.")
    await ownership.hold(provider.name, field, name, owner.user_id)


def gives_ids(body: Body, provider: Provider, matched: Matched) -> bool:
    """Tell whether the answer may give its user an id that he can use later."""
    if not matched.creates and provider.style != "anthropic":
        return False
    kept = matched.creates and body.fields.get("store") is not False
    return kept or any(tool in body.data for tool in _TOOLS_WITH_CONTAINERS)
