"""The gateway's error tree; drawn in the package's docstring."""

SDK_PATIENCE_SECONDS = 60  # for longer, the official SDKs do not wait, but ask again at once


class GatewayError(Exception):
    """A request that the gateway answers itself, with ``status`` and ``code``, in the provider's format.

    ``retry`` says whether asking again could help, ``retry_after`` in how many seconds at the earliest.
    """

    status = 500
    code = "gateway_error"
    retry = True
    retry_after: int | None = None


class BadConfiguration(GatewayError):
    """A setting names no place that a request can be sent to."""


class BadPattern(BadConfiguration):
    """A pattern of models is written in a way that could never match."""

    status = 400
    code = "bad_pattern"


class RefusedRequest(GatewayError):
    """The request can be read in two ways, or asks for what the gateway cannot meter."""

    status = 400
    code = "invalid_request"


class TooLarge(RefusedRequest):
    """The body is too large to be read."""

    status = 413
    code = "request_too_large"


class InvalidKey(GatewayError):
    """No virtual key, an unknown one, or two different ones."""

    status = 401
    code = "invalid_api_key"


class RouteRefused(GatewayError):
    """The route is not among those that are safe to share behind one real key."""

    status = 403
    code = "route_not_allowed"


class ModelRefused(GatewayError):
    """A rule for this user does not allow the model."""

    status = 403
    code = "model_not_allowed"


class NotOwned(GatewayError):
    """The request names something at the provider that this user did not create."""

    status = 403
    code = "not_yours"


class OwnershipUnknown(GatewayError):
    """Whose something at the provider is cannot be told at the moment."""

    status = 503
    code = "ownership_unknown"


class UnknownProvider(GatewayError):
    """No provider has this name."""

    status = 404
    code = "unknown_provider"


class MethodNotAllowed(GatewayError):
    """The gateway's own route is asked in another way."""

    status = 405
    code = "method_not_allowed"


class NotConfigured(GatewayError):
    """The provider has no real key here."""

    status = 503
    code = "provider_not_configured"
    retry = False


class KeysUnavailable(GatewayError):
    """Virtual keys cannot be checked at the moment."""

    status = 503
    code = "keys_unavailable"
    retry_after = 2


class PriceUnknown(GatewayError):
    """The model has no price, so that no budget could hold what it costs."""

    status = 403
    code = "price_unknown"
    retry = False


class LimitReached(GatewayError):
    """A budget or a limit refuses the call; ``retry_after`` says in how many seconds it may come again."""

    status = 429

    def __init__(self, message: str, *, retry_after: int, code: str) -> None:
        super().__init__(message)
        self.retry_after, self.code = retry_after, code
        self.retry = retry_after <= SDK_PATIENCE_SECONDS


class LimitsUnavailable(GatewayError):
    """What is left of a budget or limit cannot be learnt at the moment."""

    status = 503
    code = "limits_unavailable"


class UpstreamUnusable(GatewayError):
    """The provider cannot be reached, or its answer may not be passed on."""

    status = 502
    code = "upstream_error"


class CloudStopping(UpstreamUnusable):
    """The process that relays is about to end; another one answers."""

    status = 503
    code = "cloud_restarting"
    retry_after = 1


class UpstreamLate(UpstreamUnusable):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"


class TooManySockets(GatewayError):
    """This process carries as many WebSockets as it may."""

    status = 429
    code = "too_many_connections"


class Idle(GatewayError):
    """Neither side of a WebSocket has said anything for too long."""

    status = 504
    code = "idle_timeout"
