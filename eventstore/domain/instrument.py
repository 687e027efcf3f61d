"""Instruments: what is traded, in which currency, and the increments of its prices and quantities."""

from __future__ import annotations

import decimal
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import CONTEXT, bound_in_utc, exact, now, plain
from eventstore.core.entity import Entity
from eventstore.core.event import Event
from eventstore.core.types import Factor, Name, Quantity, UtcDatetime
from eventstore.core.validation import number
from eventstore.domain.money import Settlement
from eventstore.errors import DomainError

__all__ = [
    "Instrument",
    "InstrumentAmended",
    "InstrumentDefined",
    "InstrumentDeleted",
    "InstrumentFields",
    "InstrumentKind",
    "instrument_id",
    "inverse_pnl",
]

Rounding = Literal["NEAREST", "DOWN", "UP"]
"""To the nearest increment, a tie to the even one; or to the one below or above."""

_NAMESPACE = uuid5(NAMESPACE_URL, "trading-eventstore/instrument")
_DECIMALS_MAX = 24
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class InstrumentKind(StrEnum):
    """What an instrument is (FIX SecurityType, 167)."""

    EQUITY = "EQUITY"
    FUND = "FUND"
    BOND = "BOND"
    SPOT = "SPOT"
    FUTURE = "FUTURE"
    PERPETUAL = "PERPETUAL"
    OPTION = "OPTION"
    CFD = "CFD"

    @property
    def settlement(self) -> Settlement:
        """How its fills settle, unless the instrument says otherwise."""
        return Settlement.ON_MARGIN if self in _ON_MARGIN else Settlement.IN_FULL


_ON_MARGIN = {InstrumentKind.FUTURE, InstrumentKind.PERPETUAL, InstrumentKind.CFD}


class InstrumentFields(BaseModel):
    """The state of an instrument: each field is a column of the read table.

    Attributes:
        symbol: Its symbol (FIX 55).
        venue: The venue that trades it (FIX SecurityExchange, 207); None if it is the same at all.
        kind: What it is.
        currency: The currency or coin that its results and its value are paid in (FIX SettlCurrency, 120).
        base: The currency or coin that one contract is of, such as BTC of BTC/USDT.
        quote: The currency of its price; None for `currency`.
        multiplier: Currency for each point of price and contract (FIX ContractMultiplier, 231).
        is_inverse: Whether it is worth multiplier / price: quoted in a currency, and paid in the coin (`inverse_pnl`).
        tick_size: The increment of prices (FIX MinPriceIncrement, 969); None if there is none.
        lot_size: The increment of quantities (FIX RoundLot, 561); None if there is none.
        settlement: What a fill does to the cash; on margin for a FUTURE, a PERPETUAL and a CFD unless given.
        expires_at: When it expires; None if it does not.
        created_at: When it was defined.
    """

    symbol: Name
    venue: Name | None = None
    kind: InstrumentKind
    currency: Name
    base: Name | None = None
    quote: Name | None = None
    multiplier: Factor = Decimal(1)
    is_inverse: bool = False
    tick_size: Quantity | None = None
    lot_size: Quantity | None = None
    # Replaced by that of the kind if it is not given; the default only makes it optional.
    settlement: Settlement = Settlement.IN_FULL
    expires_at: UtcDatetime | None = None
    created_at: UtcDatetime = Field(default_factory=now)

    @model_validator(mode="before")
    @classmethod
    def _settle_as_its_kind(cls, values: Any) -> Any:
        if isinstance(values, dict) and "kind" in values and values.get("settlement") is None:
            kind = values["kind"]
            if kind in set(InstrumentKind):
                return {**values, "settlement": InstrumentKind(kind).settlement}
        return values


class InstrumentDefined(InstrumentFields, Event, category="instrument", validate_default=False):
    """An instrument was defined."""


class Instrument(InstrumentFields, Entity, category="instrument", created=InstrumentDefined):
    """What is traded. It is optional: orders and positions name a symbol, whether or not it is defined.

    It is made by its constructor: `Instrument(symbol="ESH6", venue="XCME", kind=InstrumentKind.FUTURE, currency="USD",
    multiplier=50, tick_size=Decimal("0.25"), lot_size=1)`. `InstrumentFields` describes the fields. Its id follows from
    venue and symbol (`instrument_id`) unless one is given, so a program that defines it again changes it. Assign fields to
    change it.
    """

    creation_time_field: ClassVar[str | None] = "created_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("symbol", "venue")

    @model_validator(mode="before")
    @classmethod
    def _identify(cls, values: Any) -> Any:
        if isinstance(values, dict) and "id" not in values and isinstance(values.get("symbol"), str):
            venue = values.get("venue")
            if venue is None or isinstance(venue, str):
                return {**values, "id": _id_of(values["symbol"], venue)}
        return values

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        if self.is_inverse and self.base is not None and self.base != self.currency:
            raise DomainError(
                "instrument.currency",
                f"an inverse contract is paid in its base: {self.base}, not {self.currency}",
            )
        return self

    # ---- increments ----------------------------------------------------------------------------------------

    def check_price(self, price: Decimal) -> Decimal:
        """Return a price that is a multiple of the tick size.

        Raises:
            DomainError: `instrument.price`: it is no decimal, or no such multiple.
        """
        value = number("instrument.price", price)
        self._check("price", value, self.tick_size, self.round_price)
        return value

    def check_quantity(self, quantity: Decimal) -> Decimal:
        """Return a quantity above 0 that is a multiple of the lot size.

        Raises:
            DomainError: `instrument.quantity`: it is no decimal, not above 0, or no such multiple.
        """
        value = number("instrument.quantity", quantity)
        if value <= 0:
            raise DomainError("instrument.quantity", f"a quantity is above 0, not {quantity}")
        self._check("quantity", value, self.lot_size, self.round_quantity)
        return value

    def round_price(self, price: Decimal, rounding: Rounding = "NEAREST") -> Decimal:
        """Return the multiple of the tick size that a price rounds to.

        Args:
            price: The price.
            rounding: To the nearest one, a tie to the even one; or to the one below or above.

        Raises:
            DomainError: `instrument.price`: it is no decimal; `instrument.rounding`.
        """
        return _rounded(number("instrument.price", price, wide=True), self.tick_size, rounding)

    def round_quantity(self, quantity: Decimal, rounding: Rounding = "DOWN") -> Decimal:
        """Return the multiple of the lot size that a quantity rounds to; it may be 0.

        Args:
            quantity: The quantity.
            rounding: To the nearest one, a tie to the even one; or to the one below or above.

        Raises:
            DomainError: `instrument.quantity`: it is no decimal; `instrument.rounding`.
        """
        return _rounded(number("instrument.quantity", quantity, wide=True), self.lot_size, rounding)

    def _check(self, name: str, value: Decimal, increment: Decimal | None, rounded: Any) -> None:
        if increment is None or (Fraction(value) / Fraction(increment)).denominator == 1:
            return
        below, above = rounded(value, "DOWN"), rounded(value, "UP")
        raise DomainError(
            f"instrument.{name}",
            f"{self.symbol}: a {name} is a multiple of {increment}, not {value}: {below} or {above}",
        )

    # ---- time ----------------------------------------------------------------------------------------------

    def is_expired(self, at: datetime) -> bool:
        """Whether it has expired by a point in time; naive means local time."""
        return self.expires_at is not None and self.expires_at <= bound_in_utc(at)


def instrument_id(symbol: str, venue: str | None = None) -> UUID:
    """Return the id of an instrument that is defined without one: the same for one symbol of one venue.

    Raises:
        DomainError: `instrument.symbol`, `instrument.venue`: it is no text of 1 to 200 characters.
    """
    for name, value in (("symbol", symbol), ("venue", venue)):
        if name == "venue" and value is None:
            continue
        try:
            _NAME.validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise DomainError(f"instrument.{name}", f"{name}: {message}") from error
    return _id_of(symbol, venue)


def _id_of(symbol: str, venue: str | None) -> UUID:
    # Text has no NUL, so no two pairs give one name.
    return uuid5(_NAMESPACE, symbol if venue is None else f"{symbol}\x00{venue}")


def _rounded(value: Decimal, increment: Decimal | None, rounding: Rounding) -> Decimal:
    if rounding not in ("NEAREST", "DOWN", "UP"):
        raise DomainError("instrument.rounding", f"rounding is NEAREST, DOWN or UP, not {rounding!r}")
    if increment is None:
        return value
    steps = Fraction(value) / Fraction(increment)
    whole = round(steps) if rounding == "NEAREST" else steps.numerator // steps.denominator
    if rounding == "UP" and whole != steps:
        whole += 1
    with decimal.localcontext(CONTEXT):
        return plain(Decimal(whole) * increment)


@exact
def inverse_pnl(
    quantity: Decimal,
    entry_price: Decimal,
    exit_price: Decimal,
    *,
    multiplier: Decimal = Decimal(1),
    decimals: int = 8,
) -> Decimal:
    """Return what an inverse contract realises, in its coin: quantity x multiplier x (1 / entry - 1 / exit).

    Args:
        quantity: Contracts; positive for a long position, negative for a short one.
        entry_price: The price at which it was opened, above 0.
        exit_price: The price at which it was closed, above 0.
        multiplier: The value of a contract in the currency of the price.
        decimals: The decimals of the result, as the venue rounds it; half to even.

    Raises:
        DomainError: `instrument.quantity`, `instrument.entry_price`, `instrument.exit_price`, `instrument.multiplier`:
            a bad value; `instrument.decimals`: not from 0 to 24.
    """
    given = {
        "quantity": quantity,
        "entry_price": entry_price,
        "exit_price": exit_price,
        "multiplier": multiplier,
    }
    values = {name: Fraction(number(f"instrument.{name}", value)) for name, value in given.items()}
    for name in ("entry_price", "exit_price", "multiplier"):
        if values[name] <= 0:
            raise DomainError(f"instrument.{name}", f"{name}: must be above 0, not {given[name]}")
    if decimals not in range(_DECIMALS_MAX + 1):
        raise DomainError("instrument.decimals", f"decimals: from 0 to {_DECIMALS_MAX}, not {decimals!r}")
    coin = values["quantity"] * values["multiplier"] * (1 / values["entry_price"] - 1 / values["exit_price"])
    return plain(Decimal(round(coin * 10**decimals)).scaleb(-decimals))


InstrumentAmended = Instrument.amended_event
"""Fields of an instrument were assigned."""

InstrumentDeleted = Instrument.deleted_event
"""An instrument was deleted."""
