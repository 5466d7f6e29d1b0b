"""Whether an owner may use a model, asked before a WebSocket opens and after everything that it used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.gateway.errors import GatewayError
    from shmastra_cloud.gateway.keys import KeyOwner
    from shmastra_cloud.gateway.usage import UsageRow


class Permit(Protocol):
    """What one connection may still use of one model."""

    def spent(self, output_tokens: int) -> GatewayError | None:
        """Learn the estimate of what is being produced and was not settled yet; called for every event.

        An error ends the connection with it. Must neither block nor raise.
        """

    async def settle(self, row: UsageRow) -> GatewayError | None:
        """Account for one response, however it ended; an error ends the connection with it."""

    @property
    def leases(self) -> tuple[UUID, ...]:
        """The slices of budgets that the next row is paid from."""

    def ended(self) -> None:
        """Learn that the connection is over and everything was settled; called once."""


class Gate(Protocol):
    """Who gives permits."""

    async def admit(self, owner: KeyOwner, provider: str, model: str) -> Permit:
        """Let an owner use a model.

        Raises:
            GatewayError: he may not, or not now.
        """


class _Unlimited:
    leases: tuple[UUID, ...] = ()

    def spent(self, _output_tokens: int) -> None:
        return None

    async def settle(self, _row: UsageRow) -> None:
        return None

    def ended(self) -> None:
        return None


class OpenGate:
    """Lets everyone use everything."""

    async def admit(self, _owner: KeyOwner, _provider: str, _model: str) -> Permit:
        """Give a permit without a limit."""
        return _Unlimited()
