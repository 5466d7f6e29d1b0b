"""The key gateway: relays requests to model providers under real keys that never enter a sandbox.

GatewayError
├── BadConfiguration   a setting names no place that a request can be sent to
├── RefusedRequest     400: the request can be read in two ways, or cannot be metered
│   └── TooLarge       413: the body is too large to be read
├── InvalidKey         401: no virtual key, an unknown one, or two different ones
├── RouteRefused       403: the route is not safe to share behind one real key
├── PriceUnknown       403: the model has no price, and a budget applies
├── LimitReached       429: a budget or a limit is used up; says which, whose, and when it resets
├── LimitsUnavailable  503: what is left cannot be learnt at the moment
├── UnknownProvider    404: no provider has this name
├── MethodNotAllowed   405: the gateway's own route is asked in another way
├── NotConfigured      503: the provider has no real key here
├── KeysUnavailable    503: virtual keys cannot be checked at the moment
└── UpstreamUnusable   502: the provider cannot be reached, or its answer may not be passed on
    └── UpstreamLate   504: it did not answer in time

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
    GatewayError,
    InvalidKey,
    KeysUnavailable,
    LimitReached,
    LimitsUnavailable,
    MethodNotAllowed,
    NotConfigured,
    PriceUnknown,
    RefusedRequest,
    RouteRefused,
    TooLarge,
    UnknownProvider,
    UpstreamLate,
    UpstreamUnusable,
)
from shmastra_cloud.gateway.keys import KeyCache, KeyLookup, KeyOwner
from shmastra_cloud.gateway.leases import LimitStore, MoneyLease, RateLease, StreamLease
from shmastra_cloud.gateway.limits import Limiter
from shmastra_cloud.gateway.own_prices import read_own_prices
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
    "BatchWriter",
    "Gateway",
    "GatewayError",
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
    "MoneyLease",
    "NotConfigured",
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
    "UnknownProvider",
    "UpstreamLate",
    "UpstreamUnusable",
    "UsageRow",
    "UsageSink",
    "as_date",
    "catalog",
    "chosen_models",
    "day_of",
    "further_names",
    "key_variables",
    "providers_from_env",
    "read_own_prices",
    "resets_at",
    "tiers_from_env",
    "units",
    "usd",
]
