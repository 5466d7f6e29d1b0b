"""The key gateway: relays requests to model providers under real keys that never enter a sandbox.

GatewayError
├── BadConfiguration   a setting names no place that a request can be sent to
│   └── BadPattern     a pattern of models is written in a way that could never match
├── RefusedRequest     400: the request can be read in two ways, or cannot be metered
│   └── TooLarge       413: the body is too large to be read
├── InvalidKey         401: no virtual key, an unknown one, or two different ones
├── RouteRefused       403: the route is not safe to share behind one real key
├── PriceUnknown       403: the model has no price, and a budget applies
├── LimitReached       429: a budget or a limit is used up; says which, whose, and when it resets
├── LimitsUnavailable  503: what is left cannot be learnt at the moment
├── ModelRefused       403: a rule for this user does not allow the model
├── NotOwned           403: the request names something at the provider that this user did not create
├── OwnershipUnknown   503: whose something at the provider is cannot be told at the moment
├── UnknownProvider    404: no provider has this name
├── MethodNotAllowed   405: the gateway's own route is asked in another way
├── TooManySockets     429: this process carries as many WebSockets as it may
├── Idle               neither side of a WebSocket has said anything for too long
├── NotConfigured      503: the provider has no real key here
├── KeysUnavailable    503: virtual keys cannot be checked at the moment
└── UpstreamUnusable   502: the provider cannot be reached, or its answer may not be passed on
    ├── UpstreamLate   504: it did not answer in time
    └── CloudStopping  503: this process is about to end

It imports nothing of sandboxes, so that it can run alone, near the providers.
"""

from shmastra_cloud.gateway.app import Gateway
from shmastra_cloud.gateway.budget import (
    EVERYONE,
    NO_LIMIT,
    ORGANIZATION,
    UNITS,
    Ask,
    Limits,
    Purse,
    Standing,
    as_date,
    day_of,
    resets_at,
    units,
    usd,
)
from shmastra_cloud.gateway.catalog import catalog, chosen_models, tiers_from_env
from shmastra_cloud.gateway.errors import (
    BadConfiguration,
    BadPattern,
    GatewayError,
    Idle,
    InvalidKey,
    KeysUnavailable,
    LimitReached,
    LimitsUnavailable,
    MethodNotAllowed,
    ModelRefused,
    NotConfigured,
    NotOwned,
    OwnershipUnknown,
    PriceUnknown,
    RefusedRequest,
    RouteRefused,
    TooLarge,
    TooManySockets,
    UnknownProvider,
    UpstreamLate,
    UpstreamUnusable,
)
from shmastra_cloud.gateway.keys import KeyCache, KeyLookup, KeyOwner
from shmastra_cloud.gateway.leases import LimitStore, MoneyLease, RateLease, StreamLease
from shmastra_cloud.gateway.limits import Limiter
from shmastra_cloud.gateway.model_rule import ModelRule, checked_patterns, rule_of
from shmastra_cloud.gateway.own_prices import read_own_prices
from shmastra_cloud.gateway.ownership import OwnedId, OwnedIds, Ownership
from shmastra_cloud.gateway.permits import Gate, OpenGate, Permit
from shmastra_cloud.gateway.pools import KeyPool
from shmastra_cloud.gateway.prices import Prices
from shmastra_cloud.gateway.providers import Provider, further_names, key_variables, providers_from_env
from shmastra_cloud.gateway.reservation import Reservation
from shmastra_cloud.gateway.slices import LEASE_SECONDS
from shmastra_cloud.gateway.usage import BatchWriter, UsageRow, UsageSink

__all__ = [
    "EVERYONE",
    "LEASE_SECONDS",
    "NO_LIMIT",
    "ORGANIZATION",
    "UNITS",
    "Ask",
    "BadConfiguration",
    "BadPattern",
    "BatchWriter",
    "Gate",
    "Gateway",
    "GatewayError",
    "Idle",
    "InvalidKey",
    "KeyCache",
    "KeyLookup",
    "KeyOwner",
    "KeyPool",
    "KeysUnavailable",
    "LimitReached",
    "LimitStore",
    "Limiter",
    "Limits",
    "LimitsUnavailable",
    "MethodNotAllowed",
    "ModelRefused",
    "ModelRule",
    "MoneyLease",
    "NotConfigured",
    "NotOwned",
    "OpenGate",
    "OwnedId",
    "OwnedIds",
    "Ownership",
    "OwnershipUnknown",
    "Permit",
    "PriceUnknown",
    "Prices",
    "Provider",
    "Purse",
    "RateLease",
    "RefusedRequest",
    "Reservation",
    "RouteRefused",
    "Standing",
    "StreamLease",
    "TooLarge",
    "TooManySockets",
    "UnknownProvider",
    "UpstreamLate",
    "UpstreamUnusable",
    "UsageRow",
    "UsageSink",
    "as_date",
    "catalog",
    "checked_patterns",
    "chosen_models",
    "day_of",
    "further_names",
    "key_variables",
    "providers_from_env",
    "read_own_prices",
    "resets_at",
    "rule_of",
    "tiers_from_env",
    "units",
    "usd",
]
