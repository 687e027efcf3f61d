"""The result of a reconciliation, and what would make the store agree with the statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.domain.execution_report import ExecutionReport
from eventstore.domain.executions import NO_ID, OrderSide
from eventstore.domain.portfolio_events import CashKind
from eventstore.reconciliation.comparison import ComparedPart, name_of
from eventstore.reconciliation.stated import StatedCash, StatedExecution, StatedPosition
from eventstore.reconciliation.statement import Statement


@dataclass(frozen=True, slots=True)
class ProposedExecution:
    """An execution to book: all at once with `uow.book_reports`, or alone with `uow.book(order).fill(**one.arguments())`.

    Attributes:
        execution_id: The venue's id; None if it has none.
        portfolio_id: The portfolio.
        symbol: The instrument.
        side: BUY or SELL.
        quantity: Shares or contracts.
        price: The price of one.
        commission: A rebate is negative; 0 if the statement does not say.
        commission_currency: Its currency or coin; None for the instrument's.
        occurred_at: When it happened.
        order_id: The order in the store; None if the statement does not know it.
        client_order_id: The client order id.
        broker_order_id: The broker's id of the order.
        account: The account.
        venue: The venue.
        is_before_split: Whether its position was split since, so that it has to be booked in the shares of now.
    """

    execution_id: str | None
    portfolio_id: UUID | None
    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_currency: str | None
    occurred_at: datetime
    order_id: UUID | None = None
    client_order_id: str | None = None
    broker_order_id: str | None = None
    account: str | None = None
    venue: str | None = None
    is_before_split: bool = False

    def report(self) -> ExecutionReport | None:
        """Return it as `uow.book_reports` takes it; None if somebody has to decide.

        That is so if it names no order, or if its position was split since.
        """
        names = ("order_id", "client_order_id", "broker_order_id")
        named = next((name for name in names if getattr(self, name) is not None), None)
        if named is None or self.is_before_split:
            return None
        return ExecutionReport(**{named: getattr(self, named)}, **self.arguments())

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Book.fill`, which are also those of `Order.fill`."""
        return {
            "quantity": self.quantity,
            "price": self.price,
            "execution_id": NO_ID if self.execution_id is None else self.execution_id,
            "commission": self.commission,
            "commission_currency": self.commission_currency,
            "venue": self.venue,
            "occurred_at": self.occurred_at,
        }


@dataclass(frozen=True, slots=True)
class ProposedCash:
    """A movement of cash to record with `portfolio.record_cash(**proposed.arguments())`.

    Attributes:
        portfolio_id: The portfolio.
        kind: ADJUSTMENT.
        amount: What the statement has more than the store.
        currency: The currency; None for the portfolio's.
        external_id: An id that the same statement always gives, so that it counts once.
        reason: Why.
        occurred_at: The time of the statement.
    """

    portfolio_id: UUID | None
    kind: CashKind
    amount: Decimal
    currency: str | None
    external_id: str
    reason: str
    occurred_at: datetime

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Portfolio.record_cash`."""
        return {
            "kind": self.kind,
            "amount": self.amount,
            "currency": self.currency,
            "external_id": self.external_id,
            "reason": self.reason,
            "occurred_at": self.occurred_at,
        }


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would make the store agree with the statement. Nothing of it is applied.

    Attributes:
        executions: The executions that the store lacks, in the order in which they occurred.
        cash: The adjustments of cash. There are none while executions are missing or differ, because each of them moves
            cash: book them, and reconcile again.
        remarks: What a person has to decide.
    """

    executions: tuple[ProposedExecution, ...] = ()
    cash: tuple[ProposedCash, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def reports(self) -> tuple[ExecutionReport, ...]:
        """The executions as `uow.book_reports` takes them, without those that somebody has to decide: see `remarks`."""
        reports = (one.report() for one in self.executions)
        return tuple(one for one in reports if one is not None)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A statement compared with the store as of its time. Here is the store, there is the statement.

    Attributes:
        statement: The statement.
        positions: The open positions, compared; None if they are not on the statement.
        cash: The cash, compared; None if it is not on the statement.
        executions: The executions, compared; None if they are not on the statement.
        splits: When the positions of a symbol were split last, by symbol.
    """

    statement: Statement
    positions: ComparedPart[StatedPosition] | None = None
    cash: ComparedPart[StatedCash] | None = None
    executions: ComparedPart[StatedExecution] | None = None
    splits: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether all that is on the statement agrees."""
        return all(part is None or part.agrees for part in (self.positions, self.cash, self.executions))

    @property
    def proposed(self) -> Proposal:
        """What would make the store agree with the statement."""
        missing = () if self.executions is None else self.executions.missing_here
        remarks = self._remarks()
        is_incomplete = self.executions is not None and not self.executions.agrees
        if self.cash is not None and not self.cash.agrees and is_incomplete:
            remarks.append("the cash differs, and executions do: book those, then reconcile again")
        return Proposal(
            tuple(self._execution(one) for one in sorted(missing, key=lambda one: one.time)),
            () if is_incomplete else self._adjustments(),
            tuple(remarks),
        )

    def __str__(self) -> str:
        """Return a report: a line for each part, and one for each thing that does not agree."""
        whose = " ".join(
            text
            for text in (
                f"portfolio {self.statement.portfolio_id}" if self.statement.portfolio_id else "",
                f"account {self.statement.account}" if self.statement.account else "",
            )
            if text
        )
        lines = [f"Statement of {whose} as of {self.statement.as_of.isoformat()}"]
        for name, part in (
            ("positions", self.positions),
            ("cash", self.cash),
            ("executions", self.executions),
        ):
            if part is None:
                lines.append(f"{name}: not on the statement")
                continue
            lines.append(
                f"{name}: {len(part.agreeing)} agree, {len(part.missing_here)} missing here, "
                f"{len(part.missing_there)} missing there, {len(part.differing)} differ"
            )
            lines += [f"  {line}" for line in part.lines()]
        return "\n".join(lines)

    def _execution(self, one: StatedExecution) -> ProposedExecution:
        return ProposedExecution(
            execution_id=one.execution_id,
            portfolio_id=self.statement.portfolio_id,
            symbol=one.symbol,
            side=one.side,
            quantity=one.quantity,
            price=one.price,
            commission=Decimal(0) if one.commission is None else one.commission,
            commission_currency=one.commission_currency,
            occurred_at=one.time,
            order_id=one.order_id,
            client_order_id=one.client_order_id,
            broker_order_id=one.broker_order_id,
            account=self.statement.account if one.account is None else one.account,
            venue=one.venue,
            is_before_split=self._is_before_split(one),
        )

    def _is_before_split(self, one: StatedExecution) -> bool:
        return one.symbol in self.splits and one.time < self.splits[one.symbol]

    def _remarks(self) -> list[str]:
        if self.executions is None:
            if self.positions is not None and not self.positions.agrees:
                return [
                    "the positions differ: ask the broker for the executions, which the statement does not have"
                ]
            return []
        return [
            *(
                f"{name_of(one)} names no order: find or make the order that it filled, and book it there"
                for one in self.executions.missing_here
                if one.order_id is None and one.client_order_id is None and one.broker_order_id is None
            ),
            *(
                f"{name_of(one)} traded before the split of {self.splits[one.symbol].isoformat()}: "
                "book it in the shares of now"
                for one in self.executions.missing_here
                if self._is_before_split(one)
            ),
            *(
                f"{difference}: bust or correct it if the venue did so"
                for difference in self.executions.differing
            ),
            *(
                f"{name_of(one)} is not on the statement: bust it if the venue did so"
                for one in self.executions.missing_there
            ),
        ]

    @exact
    def _adjustments(self) -> tuple[ProposedCash, ...]:
        if self.cash is None:
            return ()
        changes = [
            *((one.here.currency, one.there.amount - one.here.amount) for one in self.cash.differing),
            *((one.currency, one.amount) for one in self.cash.missing_here),
            *((one.currency, -one.amount) for one in self.cash.missing_there),
        ]
        when = self.statement.as_of
        return tuple(
            ProposedCash(
                portfolio_id=self.statement.portfolio_id,
                kind=CashKind.ADJUSTMENT,
                amount=plain(amount),
                currency=currency,
                external_id=f"statement {when.isoformat()} {currency or ''} {plain(amount)}".replace(
                    "  ", " "
                ),
                reason=f"the statement as of {when.isoformat()}",
                occurred_at=when,
            )
            for currency, amount in changes
        )
