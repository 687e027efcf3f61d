"""Instruments: saved as events, read from the table `instruments` and from the events that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from eventstore.domain.instrument import Instrument
from eventstore.errors import InstrumentNotFoundError
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query, SortKey
from eventstore.repositories.repository import Repository
from eventstore.repositories.session import Consistency


def _by_creation(instrument: Instrument) -> SortKey:
    return instrument.created_at, instrument.id


class PostgreSQLInstrumentRepository(Repository[Instrument]):
    """The instruments of one database.

    Lists are in the order of creation (`created_at`, then `id`). They are complete unless `limit` is given; the
    next page begins `after` the last instrument of the previous page. `consistency` works as for orders.

    Raises, besides what a method names:
        ConcurrencyError: An instrument that this Unit of Work has changed was changed by another writer.
        QuarantinedKeysError: In a list: events of entities of the table cannot be folded. With
            `quarantined="last_good"` the list has their last good states, and `Page.last_good_ids` names them.
        ProjectionLagError: In a list: the table lags too far behind to be corrected.
        ConnectionError, TimeoutError: The database could not be read. Safe to retry if nothing was written.
        NotMigratedError: The tables are missing.
    """

    _kind = Instrument
    _not_found = InstrumentNotFoundError

    async def save_instrument(self, instrument: Instrument) -> Instrument:
        """Insert or update an instrument, and return it.

        Raises:
            EntityDeletedError: Its id was deleted.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._save(instrument)

    async def save_many(self, instruments: Iterable[Instrument]) -> list[Instrument]:
        """Insert or update many instruments in one append, and return them; errors as for `save_instrument`."""
        return await self._save_many(instruments)

    async def update_instrument(self, instrument: Instrument) -> Instrument:
        """Append the changes of an instrument, including plain assignments, and return it.

        Raises:
            InstrumentNotFoundError: No instrument has its id.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._update(instrument)

    async def delete_instrument(self, instrument_id: UUID | Instrument) -> bool:
        """Append a tombstone: the row is deleted, the history stays. Return whether the instrument existed."""
        return await self._delete(instrument_id)

    async def get_instrument_by_id(self, instrument_id: UUID | Instrument) -> Instrument | None:
        """Return an instrument; None if it does not exist."""
        return await self._get(instrument_id)

    async def get_instrument_by_symbol(self, symbol: str, *, venue: str | None = None) -> Instrument | None:
        """Return the instrument of a symbol, the one created last if there are several; None if there is none.

        Args:
            symbol: The symbol.
            venue: Its venue; None for any.
        """
        return await self._first(
            Query(
                "instruments/latest_by_symbol",
                (symbol, venue),
                lambda one: one.symbol == symbol and (venue is None or one.venue == venue),
                _by_creation,
                descending=True,
            )
        )

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
        query: Query[Instrument] = Query(
            "instruments/by_symbol", (symbol,), lambda one: one.symbol == symbol, _by_creation
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_all_instruments(
        self,
        *,
        after: Instrument | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Instrument]:
        """Return all instruments."""
        query: Query[Instrument] = Query("instruments/all", (), lambda _: True, _by_creation)
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )
