"""What a request that was let in may say: which model it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.gateway.bodies import MAX_READ_BYTES, inspect
from shmastra_cloud.gateway.errors import TooLarge
from shmastra_cloud.gateway.strict import form_model

if TYPE_CHECKING:
    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.keys import KeyOwner
    from shmastra_cloud.gateway.models import ModelRule
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Matched

MAX_FORM_BYTES = 26 * 1024 * 1024  # OpenAI takes files of 25 MB


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
    rule = None if provider.style == "composio" else owner.models
    inspect(body, matched.route, content_type.lower(), str(owner.user_id), careful=rule is not None)
    if rule is not None:
        _hold_models(rule, body, content_type, provider, matched)


def _hold_models(
    rule: ModelRule, body: Body, content_type: bytes, provider: Provider, matched: Matched
) -> None:
    needed = matched.route.spends
    if matched.model is not None:
        rule.check(provider.name, matched.model)
        needed = False
    if not content_type.lower().startswith(b"multipart/"):
        rule.check_body(provider.name, body.asked, needed=needed)
        return
    if not body.whole:
        raise TooLarge("A form may hold 26 MB at most where a rule says which models are allowed.")
    model = form_model(body.data, content_type)
    if needed or model is not None:
        rule.check(provider.name, model)
