"""The interfaces that an order engine is written against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.database.config import UnsavedChanges
from eventstore.domain.execution_report import ExecutionReport
from eventstore.domain.executions import PositionSide
from eventstore.domain.instrument import Instrument
from eventstore.domain.money import Settlement
from eventstore.domain.order import Order, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot, PortfolioSummary
from eventstore.domain.position import Position
from eventstore.repositories.booking import Book, Booking
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.session import Consistency

E = TypeVar("E", bound=Entity)
T = TypeVar("T")


@runtime_checkable
class IOrderRepository(Protocol):
    """Orders; `PostgreSQLOrderRepository` documents each method."""

    async def save_order(self, order: Order) -> Order:
        """Insert or update an order."""

    async def save_many(self, orders: Iterable[Order]) -> list[Order]:
        """Insert or update many orders."""

    async def update_order(self, order: Order) -> Order:
        """Update an order that was saved before."""

    async def delete_order(self, order_id: UUID | Order) -> bool:
        """Delete an order; return whether there was one."""

    async def get_order_by_id(self, order_id: UUID | Order) -> Order | None:
        """Return an order."""

    async def get_orders_by_symbol(
        self,
        symbol: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of a symbol."""

    async def get_orders_by_status(
        self,
        status: OrderStatus,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of a status."""

    async def get_active_orders(
        self,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that may still trade."""

    async def get_orders_by_broker_id(
        self,
        broker_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that a broker knows by this id."""

    async def get_orders_by_client_order_id(
        self,
        client_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that have or had this client order id."""

    async def get_orders_by_broker_order_id(
        self,
        broker_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that have or had this broker id."""

    async def get_orders_by_parent(
        self,
        parent_id: UUID | Order,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that belong to a parent order."""

    async def get_orders_by_list(
        self,
        list_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of a group."""

    async def get_orders_by_account(
        self,
        account: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of an account."""

    async def get_orders_by_date_range(
        self,
        start_date: datetime,
        end_date: datetime,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders created in a range of time, both ends included."""


@runtime_checkable
class IPositionRepository(Protocol):
    """Positions; `PostgreSQLPositionRepository` documents each method."""

    async def save_position(self, position: Position) -> Position:
        """Insert or update a position."""

    async def save_many(self, positions: Iterable[Position]) -> list[Position]:
        """Insert or update many positions."""

    async def update_position(self, position: Position) -> Position:
        """Update a position that was saved before."""

    async def close_position(self, position_id: UUID | Position, exit_price: Decimal | None = None) -> bool:
        """Close a position; return whether there was an open one."""

    async def delete_position(self, position_id: UUID | Position) -> bool:
        """Delete a position; return whether there was one."""

    async def get_position_by_id(self, position_id: UUID | Position) -> Position | None:
        """Return a position."""

    async def get_position_by_symbol(
        self,
        symbol: str,
        *,
        portfolio_id: UUID | Portfolio | None = None,
        strategy: str | None = None,
        account: str | None = None,
        side: PositionSide | None = None,
    ) -> Position | None:
        """Return the open position of a symbol, opened last."""

    async def get_positions_by_symbol(
        self,
        symbol: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a symbol, open and closed."""

    async def get_active_positions(
        self,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the open positions."""

    async def get_closed_positions(
        self,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the closed positions."""

    async def get_positions_by_strategy(
        self,
        strategy: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a strategy."""

    async def get_positions_by_account(
        self,
        account: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of an account."""

    async def get_positions_by_portfolio(
        self,
        portfolio_id: UUID | Portfolio,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a portfolio."""

    async def get_positions_by_date_range(
        self,
        start_date: datetime,
        end_date: datetime,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions opened in a range of time, both ends included."""


@runtime_checkable
class IPortfolioRepository(Protocol):
    """Portfolios; `PostgreSQLPortfolioRepository` documents each method."""

    async def save_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Insert or update a portfolio."""

    async def save_many(self, portfolios: Iterable[Portfolio]) -> list[Portfolio]:
        """Insert or update many portfolios."""

    async def update_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Update a portfolio that was saved before."""

    async def delete_portfolio(self, portfolio_id: UUID | Portfolio) -> bool:
        """Delete a portfolio; return whether there was one."""

    async def get_portfolio_by_id(self, portfolio_id: UUID | Portfolio) -> Portfolio | None:
        """Return a portfolio."""

    async def get_portfolio_by_name(self, name: str) -> Portfolio | None:
        """Return the portfolio of a name."""

    async def get_current_portfolio(self) -> Portfolio | None:
        """Return the portfolio created last."""

    async def get_all_portfolios(
        self,
        *,
        after: Portfolio | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Portfolio]:
        """Return all portfolios."""

    async def get_portfolios_by_strategy(
        self,
        strategy: str,
        *,
        after: Portfolio | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Portfolio]:
        """Return the portfolios of a strategy."""

    async def get_portfolio_summary(
        self, portfolio_id: UUID | Portfolio, *, rates: Mapping[str, Decimal] | None = None
    ) -> PortfolioSummary | None:
        """Return a portfolio summed up over its open positions."""

    async def create_portfolio_snapshot(
        self,
        portfolio_id: UUID | Portfolio,
        *,
        occurred_at: datetime | None = None,
        rates: Mapping[str, Decimal] | None = None,
    ) -> PortfolioSnapshot:
        """Sum up a portfolio, and store the sums as a snapshot."""

    async def get_portfolio_history(
        self,
        portfolio_id: UUID | Portfolio,
        start_date: datetime,
        end_date: datetime,
        *,
        after: PortfolioSnapshot | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[PortfolioSnapshot]:
        """Return the snapshots of a portfolio in a range of time, both ends included."""


@runtime_checkable
class IInstrumentRepository(Protocol):
    """Instruments; `PostgreSQLInstrumentRepository` documents each method."""

    async def save_instrument(self, instrument: Instrument) -> Instrument:
        """Insert or update an instrument."""

    async def save_many(self, instruments: Iterable[Instrument]) -> list[Instrument]:
        """Insert or update many instruments."""

    async def update_instrument(self, instrument: Instrument) -> Instrument:
        """Update an instrument that was saved before."""

    async def delete_instrument(self, instrument_id: UUID | Instrument) -> bool:
        """Delete an instrument; return whether there was one."""

    async def get_instrument_by_id(self, instrument_id: UUID | Instrument) -> Instrument | None:
        """Return an instrument."""

    async def get_instrument_by_symbol(self, symbol: str, *, venue: str | None = None) -> Instrument | None:
        """Return the instrument of a symbol, created last."""

    async def get_instruments_by_symbol(
        self,
        symbol: str,
        *,
        after: Instrument | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Instrument]:
        """Return the instruments of a symbol, of all venues."""

    async def get_all_instruments(
        self,
        *,
        after: Instrument | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Instrument]:
        """Return all instruments."""


class IEntityRepository(Protocol[E]):
    """Entities of a user's own class; `EntityRepository` documents each method."""

    async def save(self, entity: E) -> E:
        """Insert or update an entity."""

    async def get(self, entity_id: UUID | E) -> E | None:
        """Return an entity."""

    async def update(self, entity: E) -> E:
        """Update an entity that was saved before."""

    async def delete(self, entity_id: UUID | E) -> bool:
        """Delete an entity; return whether there was one."""


class IUnitOfWork(Protocol):
    """Changes of many entities, applied together or not at all; `PostgreSQLUnitOfWork` documents each method."""

    @property
    def orders(self) -> IOrderRepository:
        """The orders."""

    @property
    def positions(self) -> IPositionRepository:
        """The positions."""

    @property
    def portfolios(self) -> IPortfolioRepository:
        """The portfolios."""

    @property
    def instruments(self) -> IInstrumentRepository:
        """The instruments."""

    @property
    def is_active(self) -> bool:
        """Whether it has begun and is not over."""

    def entities(self, kind: type[E]) -> IEntityRepository[E]:
        """Return the repository of a user's own class of entities."""

    def book(
        self, order: Order, *, instrument: Instrument | None = None, settlement: Settlement | None = None
    ) -> Book:
        """Return what books executions of an order into the order, its position and its portfolio."""

    async def book_reports(self, reports: Iterable[ExecutionReport]) -> list[Booking]:
        """Book execution reports of any orders, in any order."""

    async def begin_transaction(self) -> None:
        """Begin."""

    async def commit(self) -> None:
        """Apply all changes."""

    async def rollback(self) -> None:
        """Drop all changes."""

    async def flush(self) -> None:
        """Send the changes now, to be committed later."""

    async def refresh(self, entity: E) -> E:
        """Bring an instance up to date."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class IUnitOfWorkFactory(Protocol):
    """Makes Units of Work."""

    async def create_unit_of_work_async(
        self,
        *,
        metadata: Mapping[str, Any] = ...,
        correlation_id: str | UUID | None = ...,
        causation_id: str | UUID | None = ...,
        actor: str | None = ...,
        unsaved: UnsavedChanges | None = ...,
    ) -> IUnitOfWork:
        """Make a Unit of Work."""

    def create_unit_of_work(
        self,
        *,
        metadata: Mapping[str, Any] = ...,
        correlation_id: str | UUID | None = ...,
        causation_id: str | UUID | None = ...,
        actor: str | None = ...,
        unsaved: UnsavedChanges | None = ...,
    ) -> IUnitOfWork:
        """Make a Unit of Work, without contacting the database."""


class ITransactionManager(Protocol):
    """Runs operations in Units of Work."""

    async def execute_in_transaction(self, operation: Callable[[IUnitOfWork], Awaitable[T]]) -> T:
        """Run an operation in a new Unit of Work."""

    async def execute_with_retry(
        self,
        operation: Callable[[IUnitOfWork], Awaitable[T]],
        max_retries: int = 3,
        backoff_factor: float = 1.0,
    ) -> T:
        """Run an operation; run it again if it is known not to have been applied."""

    async def execute_batch(self, operations: Iterable[Callable[[IUnitOfWork], Awaitable[Any]]]) -> list[Any]:
        """Run operations in one Unit of Work."""
