"""An admin's own prices: for models that the bundled tables lack, or that he pays another price for."""

from __future__ import annotations

import json
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, NamedTuple

from genai_prices.data_units import unit_data
from genai_prices.types import ModelPrice
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from shmastra_cloud.gateway.errors import BadConfiguration

VARIABLE = "SHMASTRA_PRICES"
MAX_OWN_PRICES = 1000
_KEYS = frozenset(str(unit["price_key"]) for unit in unit_data.values())
_EXAMPLE = '{"vllm/*": {"input": 0.1, "output": 0.4, "cached": 0.05}}'

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class _Price(BaseModel):
    """USD per million tokens; further keys are those of ``genai-prices``, such as ``audio_hours``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Usd] = Field(init=False)

    input: Usd
    output: Usd
    cached: Usd | None = None
    cache_write: Usd | None = None
    output_limit: int | None = Field(None, ge=0, le=10_000_000)

    @model_validator(mode="after")
    def _extra_keys_have_a_meaning(self) -> _Price:
        for key in self.__pydantic_extra__:
            if key not in _KEYS:
                raise ValueError(f"{key} is none of input, output, cached, cache_write, output_limit")
        return self

    def own(self, pattern: str) -> OwnPrice:
        """Return it as the tables' kind of price."""
        prices = ModelPrice(
            input_mtok=self.input,
            output_mtok=self.output,
            cache_read_mtok=self.cached,
            cache_write_mtok=self.cache_write,
            **self.__pydantic_extra__,
        )
        return OwnPrice(pattern, prices, self.output_limit)


_TABLE = TypeAdapter(Annotated[dict[str, _Price], Field(max_length=MAX_OWN_PRICES)])


class OwnPrice(NamedTuple):
    """What models matching ``pattern``, as ``provider/model`` in lower case, cost."""

    pattern: str
    prices: ModelPrice
    output_limit: int | None


class OwnPrices:
    """Prices in the order that they were written in; the first whose pattern fits is the one."""

    def __init__(self, prices: tuple[OwnPrice, ...] = ()) -> None:
        self._prices = prices

    def find(self, provider: str, model: str | None) -> OwnPrice | None:
        """Return the price of a model, if the admin has set one."""
        name = f"{provider}/{model or ''}".lower()
        return next((price for price in self._prices if fnmatchcase(name, price.pattern)), None)


def read_own_prices(setting: str | None) -> OwnPrices:
    """Read ``SHMASTRA_PRICES``: a JSON object, or the path of a file that holds one.

    Raises:
        BadConfiguration: it can't be read, or a price in it is none; the message says which.
    """
    if setting is None or not setting.strip():
        return OwnPrices()
    text = setting if setting.lstrip().startswith("{") else _file(setting.strip())
    try:
        read = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise BadConfiguration(
            f"{VARIABLE} holds no valid JSON ({error}); write it like {_EXAMPLE}."
        ) from error
    try:
        table = _TABLE.validate_python(read)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = " -> ".join(str(step) for step in first["loc"])
        raise BadConfiguration(
            f"{VARIABLE} is wrong at {place or 'its beginning'}: {first['msg']}. "
            f"Prices are USD per million tokens, like {_EXAMPLE}."
        ) from error
    for pattern in table:
        if "/" not in pattern:
            raise BadConfiguration(
                f"{VARIABLE}: {pattern} is no pattern for provider/model, such as vllm/* or openai/gpt-5*."
            )
    return OwnPrices(tuple(price.own(pattern.lower()) for pattern, price in table.items()))


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            f"{VARIABLE} is no JSON object and no file that can be read ({type(error).__name__}): {path}"
        ) from error
