"""The contract of the instrument repository."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eventstore.domain import Instrument, InstrumentKind
from eventstore.errors import EntityDeletedError, InstrumentNotFoundError
from tests.contract.databases import Database, minute, save, types


def a_share(at: float = 0, symbol: str = "AAPL", **values: Any) -> Instrument:
    """A share that was defined `at` minutes after the first."""
    return Instrument(
        symbol=symbol, kind=InstrumentKind.EQUITY, currency="USD", created_at=minute(at), **values
    )


async def test_what_is_saved_is_loaded(tables: Database):
    """With every field; plain assignments become one event."""
    future = Instrument(
        symbol="ESH6",
        venue="XCME",
        kind=InstrumentKind.FUTURE,
        currency="USD",
        base="ES",
        quote="USD",
        multiplier=Decimal(50),
        tick_size=Decimal("0.25"),
        lot_size=Decimal("1.0"),
        expires_at=minute(60),
    )
    await save(tables, future)
    future.tick_size = Decimal("0.050")
    async with tables.unit_of_work() as uow:
        assert await uow.instruments.update_instrument(future) is future
        assert await uow.instruments.save_many([future]) == [future]
    await tables.catch_up()
    async with tables.unit_of_work() as uow:
        loaded = await uow.instruments.get_instrument_by_id(future.id)
    assert loaded == future
    assert loaded is not None
    assert str(loaded.tick_size) == "0.050"
    assert await types(tables, future.id) == ["InstrumentDefined", "InstrumentAmended"]


async def test_to_define_it_again_is_to_change_it(tables: Database):
    """The id follows from symbol and venue: the second program changes the fields that it gives, or nothing."""
    await save(tables, a_share())
    await save(tables, a_share())
    assert await types(tables, a_share().id) == ["InstrumentDefined"]
    again = Instrument(symbol="AAPL", kind=InstrumentKind.EQUITY, currency="USD", lot_size=Decimal(100))
    await save(tables, again)
    assert await types(tables, again.id) == ["InstrumentDefined", "InstrumentAmended"]
    async with tables.unit_of_work() as uow:
        [found] = await uow.instruments.get_all_instruments()
    assert (found.lot_size, found.created_at) == (Decimal(100), minute(0))


async def test_by_symbol(tables: Database):
    """One venue, or the one created last of any; a new symbol counts at once."""
    paris, frankfurt, other = a_share(1, venue="XPAR"), a_share(2, venue="XETR"), a_share(3, "MSFT")
    await save(tables, other, frankfurt, paris)
    async with tables.unit_of_work() as uow:
        find = uow.instruments.get_instrument_by_symbol
        assert await find("AAPL") == frankfurt
        assert await find("AAPL", venue="XPAR") == paris
        assert await find("AAPL", venue="XNYS") is None
        assert await find("IBM") is None
        assert await uow.instruments.get_instruments_by_symbol("AAPL") == [paris, frankfurt]
        assert await uow.instruments.get_instruments_by_symbol("AAPL", limit=1, after=paris) == [frankfurt]
        assert await uow.instruments.get_all_instruments() == [paris, frankfurt, other]
        assert await uow.instruments.get_all_instruments(limit=1) == [paris]
    frankfurt.symbol = "APC"
    await save(tables, frankfurt)
    async with tables.unit_of_work() as uow:
        assert await uow.instruments.get_instrument_by_symbol("AAPL") == paris
        assert await uow.instruments.get_instrument_by_symbol("APC") == frankfurt


async def test_as_of(tables: Database):
    """The past has them as well."""
    share = a_share()
    await save(tables, share)
    share.lot_size = Decimal(100)
    await save(tables, share)
    async with tables.as_of(position=1) as past:
        found = await past.instruments.get_instrument_by_symbol("AAPL")
        assert found is not None
        assert found.lot_size is None
        assert len(await past.instruments.get_all_instruments()) == 1


async def test_delete(tables: Database):
    """It goes, and is not defined again; an unknown one is not found."""
    share = a_share()
    await save(tables, share)
    async with tables.unit_of_work() as uow:
        assert await uow.instruments.delete_instrument(share)
    await tables.catch_up()
    async with tables.unit_of_work() as uow:
        assert await uow.instruments.get_instrument_by_symbol("AAPL") is None
        assert not await uow.instruments.delete_instrument(share.id)
        with pytest.raises(InstrumentNotFoundError) as raised:
            await uow.instruments.update_instrument(a_share(0, "IBM"))
    assert raised.value.category == "instrument"
    with pytest.raises(EntityDeletedError):
        await save(tables, a_share())
