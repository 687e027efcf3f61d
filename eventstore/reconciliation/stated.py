"""The parts of a statement: positions, cash and executions, as a broker says them."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import ConfigDict

from eventstore.core.types import Amount, Computed, Name, Price, Quantity, UtcDatetime
from eventstore.core.validation import Validated
from eventstore.domain.executions import OrderSide, has_id

Section = Literal["positions", "cash", "executions"]
"""A part of a statement."""


class Stated(Validated):
    """What a statement says: frozen, with errors of the category `statement`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: ClassVar[str] = "statement"


class StatedPosition(Stated):
    """What is open in one instrument.

    Attributes:
        symbol: The instrument.
        quantity: Positive for long, negative for short.
        price: The average price at which it was opened; None if the statement does not say.
        cost: What it cost, in currency: signed quantity x average price x multiplier; None if the statement does not say.
        currency: The currency of price and cost; None if the statement does not say.
    """

    symbol: Name
    quantity: Amount
    price: Price | None = None
    cost: Computed | None = None
    currency: Name | None = None


class StatedCash(Stated):
    """The cash of one currency.

    Attributes:
        currency: The currency; None for the portfolio's.
        amount: How much; negative for what is owed.
    """

    currency: Name | None = None
    amount: Computed


class StatedExecution(Stated):
    """One execution.

    Attributes:
        execution_id: The venue's id; None or "0" if it has none.
        symbol: The instrument.
        side: BUY or SELL.
        quantity: Shares or contracts; positive.
        price: The price of one.
        commission: A rebate is negative; None if the statement does not say.
        commission_currency: The currency or coin of the commission; None if the statement does not say.
        time: When it happened.
        order_id: The id of the order in the store; None if the statement does not know it.
        client_order_id: The client order id (FIX ClOrdID, 11).
        broker_order_id: The broker's id of the order (FIX OrderID, 37).
        account: The account (FIX Account, 1).
        venue: The venue (FIX LastMkt, 30).
    """

    execution_id: Name | None = None
    symbol: Name
    side: OrderSide
    quantity: Quantity
    price: Price
    commission: Computed | None = None
    commission_currency: Name | None = None
    time: UtcDatetime
    order_id: UUID | None = None
    client_order_id: Name | None = None
    broker_order_id: Name | None = None
    account: Name | None = None
    venue: Name | None = None

    @property
    def has_id(self) -> bool:
        """Whether the venue gave it an id."""
        return has_id(self.execution_id)
