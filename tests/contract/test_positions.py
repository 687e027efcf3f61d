"""The contract of the position repository."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.domain import Position
from eventstore.domain.executions import OrderSide, PositionSide
from eventstore.errors import ConfigurationError, DomainError, EntityDeletedError, PositionNotFoundError
from eventstore.repositories import Page
from tests.contract.databases import Database, a_position, minute, save, types


def closed(position: Position, at: float) -> Position:
    """The position, closed at 160 so many minutes after the first."""
    position.close(Decimal(160), occurred_at=minute(at))
    return position


class TestSaveAndLoad:
    """save_position, save_many, update_position, delete_position, get_position_by_id."""

    async def test_the_users_own_texts_are_kept(self, tables: Database):
        """`details` are given as a mapping and come back equal; a flip hands them on."""
        position = Position.open_position("AAPL", Decimal(5), Decimal(100), details={"desk": "ü"})
        opposite = position.apply_fill(OrderSide.SELL, Decimal(8), Decimal(101), "E-1")
        assert opposite is not None
        await save(tables, position, opposite)
        for _ in range(2):
            async with tables.unit_of_work() as uow:
                found = await uow.positions.get_positions_by_symbol("AAPL")
            assert [dict(one.details) for one in found] == [{"desk": "ü"}] * 2
            assert list(found) == [position, opposite]
            await tables.catch_up()

    async def test_what_is_saved_is_loaded(self, tables: Database):
        """Another Unit of Work gets an equal position, as an instance of its own."""
        position = a_position(
            multiplier=Decimal(50), strategy="mean", portfolio_id=uuid4(), tags=("a",), execution_id="E-1"
        )
        position.reduce(Decimal(33), Decimal("151.123"), Decimal("0.10"), occurred_at=minute(1))
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded == position
        assert loaded is not position
        assert position.version == 2

    async def test_save_many_and_update_return_the_instances(self, database: Database):
        """`save_position`, `save_many` and `update_position` return what they were given."""
        position = a_position()
        async with database.unit_of_work() as uow:
            assert await uow.positions.save_position(position) is position
            assert await uow.positions.save_many([position]) == [position]
            position.mark(Decimal(151))
            assert await uow.positions.update_position(position) is position
        assert await types(database, position.id) == ["PositionOpened", "PositionMarked"]

    async def test_plain_assignments_are_kept(self, tables: Database):
        """A price and a time that were assigned are there when loaded; the time in UTC."""
        position = a_position()
        await save(tables, position)
        naive = minute(5).astimezone().replace(tzinfo=None)
        position.current_price = Decimal("152.00")
        position.last_updated = naive
        async with tables.unit_of_work() as uow:
            await uow.positions.update_position(position)
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded is not None
        assert (str(loaded.current_price), loaded.last_updated) == ("152.00", minute(5))
        assert loaded.unrealized_pnl == Decimal(150)
        assert await types(tables, position.id) == ["PositionOpened", "PositionAmended"]

    async def test_unknown_ids(self, database: Database):
        """`get_position_by_id` gives None, `update_position` raises, `delete_position` gives False."""
        position = a_position()
        async with database.unit_of_work() as uow:
            assert await uow.positions.get_position_by_id(position.id) is None
            assert await uow.positions.delete_position(position.id) is False
            with pytest.raises(PositionNotFoundError) as raised:
                await uow.positions.update_position(position)
        assert (raised.value.entity_id, raised.value.category) == (position.id, "position")

    async def test_delete(self, tables: Database):
        """The position goes, its history stays, its id is not used again."""
        position = a_position()
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.delete_position(position.id) is True
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_position_by_id(position.id) is None
            assert await uow.positions.get_active_positions() == []
            assert await uow.positions.delete_position(position.id) is False
        assert await types(tables, position.id) == ["PositionOpened", "PositionDeleted"]
        again = Position(
            id=position.id,
            symbol="AAPL",
            quantity=Decimal(1),
            cost=Decimal(1),
            opened_at=minute(0),
        )
        with pytest.raises(EntityDeletedError):
            await save(tables, again)


class TestClose:
    """close_position."""

    async def test_close_at_a_price(self, tables: Database):
        """It realises the difference, and says that there was an open one."""
        position = a_position()
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.close_position(position.id, exit_price=Decimal("152.50")) is True
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded is not None
        assert (loaded.quantity, loaded.realized_pnl) == (Decimal(0), Decimal(200))
        assert loaded.closed_at is not None
        assert await types(tables, position.id) == ["PositionOpened", "PositionFilled"]

    async def test_close_at_the_price_it_was_marked_at(self, tables: Database):
        """Without an exit price the last mark counts."""
        position = a_position(quantity=-10)
        position.mark(Decimal("150.00"), occurred_at=minute(1))
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.close_position(position.id) is True
            loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded is not None
        assert loaded.realized_pnl == Decimal(5)

    async def test_close_without_any_price(self, database: Database):
        """A position that was never marked needs one; nothing changes."""
        position = a_position()
        await save(database, position)
        async with database.unit_of_work() as uow:
            with pytest.raises(DomainError) as raised:
                await uow.positions.close_position(position.id)
        assert raised.value.rule == "position.exit_price"
        assert await types(database, position.id) == ["PositionOpened"]

    async def test_close_what_is_not_open(self, tables: Database):
        """An unknown position, and one that is closed, give False, and nothing changes."""
        position = closed(a_position(), 1)
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.close_position(uuid4(), exit_price=Decimal(1)) is False
            assert await uow.positions.close_position(position.id, exit_price=Decimal(1)) is False
        assert await types(tables, position.id) == ["PositionOpened", "PositionFilled"]


class TestExecutions:
    """The executions that the state of a position no longer holds."""

    async def test_a_repeat_of_an_old_execution_is_refused(self, tables: Database):
        """The log has what the state has not; a new fill passes, and a repeat is refused by name, with all of its commit."""
        position = a_position(execution_id="E0")
        for number in range(1, 40):
            position.apply_fill(OrderSide.BUY, Decimal(1), Decimal(150), f"E{number}", occurred_at=minute(1))
        await save(tables, position)

        async def fill(execution_id: str) -> None:
            async with tables.unit_of_work() as uow:
                loaded = await uow.positions.get_position_by_id(position.id)
                assert loaded is not None
                loaded.apply_fill(
                    OrderSide.BUY, Decimal(1), Decimal(150), execution_id, occurred_at=minute(2)
                )
                await uow.positions.update_position(loaded)

        await fill("new")
        with pytest.raises(DomainError) as refused:
            await fill("E3")
        assert refused.value.rule == "position.execution_repeated"
        async with tables.unit_of_work() as uow:
            loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded is not None
        assert loaded.quantity == position.quantity + 1

    async def test_a_bust_is_loaded_as_it_was_made(self, tables: Database):
        """Busted, corrected and split executions come back equal."""
        position = a_position(execution_id="E0", account="U1", currency="USD")
        position.apply_fill(
            OrderSide.BUY, Decimal(5), Decimal(151), "E1", commission=Decimal(1), commission_currency="BNB"
        )
        position.split(3, 2)
        position.correct_fill("E0", price=Decimal(149), new_execution_id="E0a")
        position.bust_fill("E1")
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_position_by_id(position.id) == position


class TestBySymbol:
    """get_position_by_symbol: the open one, opened last."""

    async def test_the_one_opened_last(self, tables: Database):
        """Of several open ones it is the one opened last, whatever order they were saved in."""
        early, late = a_position(0), a_position(2)
        gone, other = closed(a_position(3), 4), a_position(5, symbol="MSFT")
        await save(tables, late, early, gone, other)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_position_by_symbol("AAPL") == late
            assert await uow.positions.get_position_by_symbol("TSLA") is None

    async def test_the_last_one_closes(self, tables: Database):
        """When it closes, the one before it is found, before and after the table knows."""
        early, late = a_position(0), a_position(2)
        await save(tables, early, late)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.close_position(late.id, exit_price=Decimal(1)) is True
            assert await uow.positions.get_position_by_symbol("AAPL") == early
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_position_by_symbol("AAPL") == early
            assert await uow.positions.close_position(early.id, exit_price=Decimal(1)) is True
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_position_by_symbol("AAPL") is None

    async def test_of_a_portfolio_or_strategy(self, tables: Database):
        """Two strategies may hold one symbol; each finds its own, and None asks for any."""
        portfolio = uuid4()
        plain = a_position(0)
        mine = a_position(1, portfolio_id=portfolio, strategy="mean")
        theirs = a_position(2, portfolio_id=portfolio, strategy="trend")
        await save(tables, plain, mine, theirs)
        async with tables.unit_of_work() as uow:
            find = uow.positions.get_position_by_symbol
            assert await find("AAPL", strategy="mean") == mine
            assert await find("AAPL", portfolio_id=portfolio) == theirs
            assert await find("AAPL", portfolio_id=portfolio, strategy="mean") == mine
            assert await find("AAPL", portfolio_id=uuid4()) is None
            assert await find("AAPL", strategy="other") is None
            assert await find("AAPL") == theirs

    async def test_of_an_account_or_a_side(self, tables: Database):
        """An account may hold both sides of one symbol at once; each is found, and no closed one."""
        long = a_position(0, account="U1")
        short = Position.open_position("AAPL", Decimal(-1), Decimal(150), account="U1", occurred_at=minute(1))
        other = a_position(2, account="U2")
        gone = closed(a_position(3, account="U1"), 4)
        await save(tables, long, short, other, gone)
        async with tables.unit_of_work() as uow:
            find = uow.positions.get_position_by_symbol
            assert await find("AAPL", account="U1") == short
            assert await find("AAPL", account="U1", side=PositionSide.LONG) == long
            assert await find("AAPL", account="U2", side=PositionSide.SHORT) is None
            assert await find("AAPL", side=PositionSide.LONG) == other


class TestLists:
    """Every list, in the order of opening."""

    async def test_by_symbol_with_history(self, tables: Database):
        """Open and closed ones."""
        late, early = a_position(2), closed(a_position(0), 1)
        await save(tables, late, early, a_position(3, symbol="MSFT"))
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_positions_by_symbol("AAPL") == [early, late]

    async def test_active_and_closed(self, tables: Database):
        """A position is in exactly one of the two lists, and moves when it closes."""
        first, second = a_position(0), a_position(1)
        await save(tables, second, first)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_active_positions() == [first, second]
            assert await uow.positions.get_closed_positions() == []
        closed(first, 2)
        async with tables.unit_of_work() as uow:
            await uow.positions.update_position(first)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_active_positions() == [second]
            assert await uow.positions.get_closed_positions() == [first]

    async def test_by_strategy_and_portfolio(self, tables: Database):
        """Open and closed ones of the very strategy or portfolio; those of none are in no list."""
        portfolio = uuid4()
        mine = a_position(1, strategy="mean", portfolio_id=portfolio)
        past = closed(a_position(0, strategy="mean", portfolio_id=portfolio), 1)
        await save(tables, mine, past, a_position(2), a_position(3, strategy="trend", portfolio_id=uuid4()))
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_positions_by_strategy("mean") == [past, mine]
            assert await uow.positions.get_positions_by_portfolio(portfolio) == [past, mine]
            assert await uow.positions.get_positions_by_strategy("") == []

    async def test_by_account(self, tables: Database):
        """Those of an account, open and closed; none of those without one."""
        past, mine = closed(a_position(0, account="U1"), 1), a_position(2, account="U1")
        await save(tables, mine, a_position(3, account="U2"), a_position(4), past)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_positions_by_account("U1") == [past, mine]
            assert await uow.positions.get_positions_by_account("") == []

    async def test_by_date_range(self, tables: Database):
        """By opening, both ends included; a range that ends before it starts is refused."""
        positions = [a_position(number) for number in range(4)]
        await save(tables, *positions)
        async with tables.unit_of_work() as uow:
            assert await uow.positions.get_positions_by_date_range(minute(1), minute(2)) == positions[1:3]
            with pytest.raises(ConfigurationError, match="before it starts"):
                await uow.positions.get_positions_by_date_range(minute(1), minute(0))

    @pytest.mark.parametrize("method", ["symbol", "active", "closed", "strategy", "portfolio", "range"])
    async def test_pages(self, tables: Database, method: str):
        """`limit` and `after` give each list piece by piece."""
        portfolio = uuid4()
        positions = [a_position(number, strategy="mean", portfolio_id=portfolio) for number in range(5)]
        for position in positions if method == "closed" else ():
            closed(position, 9)
        await save(tables, *positions)
        async with tables.unit_of_work() as uow:
            repository = uow.positions

            async def page(after: Position | None) -> Page[Position]:
                match method:
                    case "symbol":
                        return await repository.get_positions_by_symbol("AAPL", after=after, limit=2)
                    case "active":
                        return await repository.get_active_positions(after=after, limit=2)
                    case "closed":
                        return await repository.get_closed_positions(after=after, limit=2)
                    case "strategy":
                        return await repository.get_positions_by_strategy("mean", after=after, limit=2)
                    case "portfolio":
                        return await repository.get_positions_by_portfolio(portfolio, after=after, limit=2)
                    case _:
                        return await repository.get_positions_by_date_range(
                            minute(0), minute(9), after=after, limit=2
                        )

            found: list[Position] = []
            while part := await page(found[-1] if found else None):
                assert len(part) <= 2
                found += part
        assert found == positions
