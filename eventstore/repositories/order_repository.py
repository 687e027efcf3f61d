"""Orders: saved as events, read from the table `orders` and from the events that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order, OrderStatus
from eventstore.errors import ConfigurationError, OrderNotFoundError
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query, SortKey, as_id
from eventstore.repositories.repository import Repository, time_range
from eventstore.repositories.session import Consistency


def _by_creation(order: Order) -> SortKey:
    return order.created_at, order.id


class PostgreSQLOrderRepository(Repository[Order]):
    """The orders of one database.

    Lists are in the order of creation (`created_at`, then `id`). They are complete unless `limit` is given; the
    next page begins `after` the last order of the previous page. `consistency="fresh"` sees every event that
    was committed before the call; `"eventual"` reads only the table, as far as its projection has folded.

    Raises, besides what a method names:
        ConcurrencyError: An order that this Unit of Work has changed was changed by another writer.
        QuarantinedKeysError: In a list: events of entities of the table cannot be folded. With
            `quarantined="last_good"` the list has their last good states, and `Page.last_good_ids` names them.
        ProjectionLagError: In a list: the table lags too far behind to be corrected.
        ConnectionError, TimeoutError: The database could not be read. Safe to retry if nothing was written.
        NotMigratedError: The tables are missing.
    """

    _kind = Order
    _not_found = OrderNotFoundError

    async def save_order(self, order: Order) -> Order:
        """Insert or update an order, and return it.

        Raises:
            EntityDeletedError: Its id was deleted.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._save(order)

    async def save_many(self, orders: Iterable[Order]) -> list[Order]:
        """Insert or update many orders in one append, and return them; errors as for `save_order`."""
        return await self._save_many(orders)

    async def update_order(self, order: Order) -> Order:
        """Append the changes of an order, including plain assignments, and return it.

        Raises:
            OrderNotFoundError: No order has its id.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._update(order)

    async def delete_order(self, order_id: UUID | Order) -> bool:
        """Append a tombstone: the row is deleted, the history stays. Return whether the order existed."""
        return await self._delete(order_id)

    async def get_order_by_id(self, order_id: UUID | Order) -> Order | None:
        """Return an order; None if it does not exist."""
        return await self._get(order_id)

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
        query: Query[Order] = Query(
            "orders/by_symbol", (symbol,), lambda order: order.symbol == symbol, _by_creation
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_status(
        self,
        status: OrderStatus,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders with a status.

        Raises:
            ConfigurationError: The status does not exist.
        """
        wanted = _status(status)
        query: Query[Order] = Query(
            "orders/by_status", (wanted.value,), lambda order: order.status is wanted, _by_creation
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_active_orders(
        self,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that may still trade: those of `ACTIVE_ORDER_STATUSES`."""
        query: Query[Order] = Query(
            "orders/active", (), lambda order: order.status in ACTIVE_ORDER_STATUSES, _by_creation
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_broker_id(
        self,
        broker_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that have or had this broker id: another name of `get_orders_by_broker_order_id`."""
        return await self.get_orders_by_broker_order_id(
            broker_order_id, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_client_order_id(
        self,
        client_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that have this client order id (FIX 11), or had it before a replace."""
        query: Query[Order] = Query(
            "orders/by_client_order_id",
            (client_order_id,),
            # A NULL equals nothing, not even that of an order without an id.
            lambda order: (
                (order.client_order_id is not None and order.client_order_id == client_order_id)
                or client_order_id in order.replaced_client_order_ids
            ),
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_broker_order_id(
        self,
        broker_order_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders that have this broker id (FIX 37), or had it before; brokers reuse ids on other days."""
        query: Query[Order] = Query(
            "orders/by_broker_order_id",
            (broker_order_id,),
            lambda order: broker_order_id in order.broker_order_ids,
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_parent(
        self,
        parent_id: UUID | Order,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders whose parent is this one: the legs of a bracket, the slices of an order."""
        parent = as_id(Order, parent_id)
        query: Query[Order] = Query(
            "orders/by_parent_id",
            (parent,),
            lambda order: order.parent_id is not None and order.parent_id == parent,
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_list(
        self,
        list_id: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of a group, such as one-cancels-other (FIX ListID, 66)."""
        query: Query[Order] = Query(
            "orders/by_list_id",
            (list_id,),
            lambda order: order.list_id is not None and order.list_id == list_id,
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_orders_by_account(
        self,
        account: str,
        *,
        after: Order | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Order]:
        """Return the orders of an account (FIX 1)."""
        query: Query[Order] = Query(
            "orders/by_account",
            (account,),
            lambda order: order.account is not None and order.account == account,
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

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
        """Return the orders created from `start_date` to `end_date`, both inclusive.

        A naive datetime means local time.

        Raises:
            ConfigurationError: The range ends before it starts.
        """
        start, end = time_range(start_date, end_date)
        query: Query[Order] = Query(
            "orders/by_creation", (start, end), lambda order: start <= order.created_at <= end, _by_creation
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )


def _status(status: OrderStatus) -> OrderStatus:
    try:
        return OrderStatus(status)
    except ValueError as error:
        known = ", ".join(repr(one.value) for one in OrderStatus)
        raise ConfigurationError(f"there is no order status {status!r}: choose from {known}") from error
