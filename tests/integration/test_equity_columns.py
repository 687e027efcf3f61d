"""A curve of equity from columns is, to the digit, the curve that the fold of the domain gives from all events."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.money import RateTable
from eventstore.domain.order import OrderSide
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import DomainError
from eventstore.log.page_size import Window
from eventstore.replay import Replay, equity, equity_streams
from eventstore.replay.equity import EquityPoint, _in_order, _points
from eventstore.testing.strategies import EPOCH
from tests.past_states import interleaved, record
from tests.scale import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from eventstore.replay.equity import Clock
    from eventstore.store import EventStore

D = Decimal
RATES = {"EUR": D("1.0837"), "JPY": D("0.00671")}
PAIRS = {"EUR/USD": D("1.0837"), "USD/JPY": D("149.03"), "GBP/EUR": D("1.17")}
CLOCKS: tuple[Clock, ...] = ("occurred_at", "recorded_at")
KINDS = ["fill"] * 6 + ["mark"] * 6 + ["cash", "cash", "old mark", "venue mark"]


class Desk:
    """Random business of a portfolio: it is saved in pieces, as an engine does."""

    def __init__(self, seed: int, *, currencies: bool, rare: float, late: float) -> None:
        self.random = random.Random(seed)
        self.currencies = currencies
        self.rare = rare
        self.late = late
        self.portfolio = Portfolio(
            name="P", initial_capital=D("1000.50"), currency="USD" if currencies else None, created_at=EPOCH
        )
        self.portfolio.record_assignments()
        self.positions: list[Position] = []
        self.now = EPOCH
        self.kinds = KINDS
        self.ids = 0

    @property
    def when(self) -> datetime:
        """The time of the next report; sometimes an earlier one."""
        if self.random.random() < self.late:
            return self.now - timedelta(seconds=self.random.randint(1, 40))
        return self.now

    def number(self, low: int, high: int) -> Decimal:
        """A number with some decimals."""
        return D(self.random.randint(low * 100, high * 100)) / self.random.choice([1, 10, 100])

    def step(self) -> None:
        """Do something."""
        self.now += timedelta(seconds=self.random.randint(0, 3))
        self.ids += 1
        if self.random.random() < self.rare and self.positions:
            self.do_rarely()
            return
        kind = self.random.choice(self.kinds)
        if kind == "cash":
            self.portfolio.record_cash(
                self.random.choice([CashKind.DEPOSIT, CashKind.DIVIDEND, CashKind.REBATE]),
                self.number(1, 9),
                currency=self.random.choice([None, "USD"]) if self.currencies else None,
                occurred_at=self.when,
            )
        elif kind == "fill" or not self.positions:
            self.fill()
        else:
            self.mark(kind)

    def mark(self, kind: str) -> None:
        """Mark a position: now, at an earlier time, or with the venue's own time."""
        position = self.random.choice(self.positions)
        if not position.is_open:
            return
        at = self.now - timedelta(seconds=5) if kind == "old mark" else self.when
        ns = None if kind != "venue mark" else int(at.timestamp()) * 10**9 + self.random.randint(0, 999)
        position.mark(self.number(1, 20), occurred_at=at, transact_time_ns=ns)

    def fill(self) -> None:
        """Open a position, enlarge, reduce, close or flip it, and record the trade."""
        side, at = self.random.choice([OrderSide.BUY, OrderSide.SELL]), self.when
        quantity, price, fee = self.number(1, 7), self.number(1, 20), self.number(0, 1)
        is_open = [one for one in self.positions if one.is_open]
        realized: Decimal | None = None
        currency = None
        if len(is_open) < 3 or self.random.random() < 0.05:
            currency = self.random.choice([None, "USD", "EUR", "JPY"]) if self.currencies else None
            self.positions.append(
                Position.open_by_fill(
                    f"S{self.ids}",
                    side,
                    quantity,
                    price,
                    fee,
                    occurred_at=at,
                    execution_id=f"E{self.ids}",
                    portfolio_id=self.portfolio.id,
                    currency=currency,
                    multiplier=self.random.choice([D(1), D(50), D("0.1")]),
                )
            )
        else:
            position = self.random.choice(is_open)
            before, currency = position.realized_pnl, position.currency
            flipped = position.apply_fill(
                side, quantity, price, f"E{self.ids}", commission=fee, occurred_at=at
            )
            realized = position.realized_pnl - before
            if flipped is not None:
                self.positions.append(flipped)
        self.portfolio.record_trade(
            f"E{self.ids}",
            realized_pnl=realized,
            commission=fee,
            cash_flow=D(0),
            currency=currency,
            occurred_at=at,
        )

    def do_rarely(self) -> None:
        """Take a fill back, correct one, split, assign a field, move out of the portfolio, convert, or delete."""
        position = self.random.choice(self.positions)
        ids = [one.execution_id for one in position.executions if one.counts and one.execution_id]
        what = self.random.choice(["bust", "correct", "split", "assign", "leave", "convert", "delete"])
        if what == "bust" and len(ids) > 1 and position.is_open:
            position.bust_fill(ids[-1], occurred_at=self.now)
        elif what == "correct" and ids and position.is_open:
            position.correct_fill(
                ids[-1], price=self.number(1, 20), new_execution_id=f"N{self.ids}", occurred_at=self.now
            )
        elif what == "split" and position.is_open:
            position.split(D(3), D(2), occurred_at=self.now)
        elif what == "assign":
            position.strategy = f"other {self.ids}"
        elif what == "leave":
            position.portfolio_id = None
        elif what == "convert" and self.currencies:
            self.portfolio.convert("USD", D(10), "EUR", D("9.2"), occurred_at=self.now)
        elif what == "delete" and not position.is_open:
            position.delete(occurred_at=self.now)
            self.positions.remove(position)

    async def play(self, store: EventStore, steps: int) -> None:
        """Do something again and again."""
        async with store.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(self.portfolio)
        for _ in range(steps):
            known = list(self.positions)
            for _ in range(self.random.randint(1, 4)):
                self.step()
            async with store.unit_of_work() as uow:
                if self.portfolio.has_unsaved_changes:
                    await uow.portfolios.update_portfolio(self.portfolio)
                for one in {id(one): one for one in (*known, *self.positions)}.values():
                    if one.has_unsaved_changes:
                        await (
                            uow.positions.save_position if one.version == 0 else uow.positions.update_position
                        )(one)


def digits(points: Iterable[EquityPoint]) -> list[tuple[str, str]]:
    """The points as texts: also a last digit that is 0 counts."""
    return [(str(point.at), str(point.equity)) for point in points]


async def from_events(
    store: EventStore,
    desk: Desk,
    clock: Clock,
    through: int | None = None,
    *,
    rates: Mapping[str, Decimal] = RATES,
    base: str | None = None,
) -> list[Any]:
    """The points that the fold of the domain gives from all events."""
    everything = [one async for one in store.log.read_all()]
    ids = {
        one.stream_id
        for one in everything
        if getattr(one.event, "portfolio_id", None) == desk.portfolio.id
        and one.event.category == "position"
        and (through is None or one.position <= through)
    }
    chosen = [
        one
        for one in everything
        if one.stream_id in {*ids, desk.portfolio.id} and (through is None or one.position <= through)
    ]
    return list(_points(desk.portfolio.id, _in_order(chosen, clock), RateTable(rates, base=base), base))


@pytest.mark.parametrize("currencies", [False, True], ids=["one currency", "currencies"])
@pytest.mark.parametrize(
    ("rare", "late"),
    [(0.0, 0.0), (0.0, 0.1), (0.05, 0.0), (0.05, 0.1)],
    ids=["usual", "late", "rare", "both"],
)
async def test_a_curve_from_columns_is_that_of_the_events(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, currencies: bool, rare: float, late: float
):
    """By both clocks, to any end, whatever was reported late, busted, corrected, split or moved: the same digits."""
    monkeypatch.setattr(equity_streams, "_PAGE_EVENTS", 13)
    monkeypatch.setattr(equity_streams, "_FOLDED_AT_A_TIME", 5)
    by_columns = 0
    fold = equity_streams.ColumnCurve.points

    async def counted(curve: Any, through: int) -> Any:
        nonlocal by_columns
        found = await fold(curve, through)
        by_columns += 1
        return found

    monkeypatch.setattr(equity_streams.ColumnCurve, "points", counted)
    asked = 0
    for seed in range(examples(3)):
        desk = Desk(seed, currencies=currencies, rare=rare, late=late)
        await desk.play(store, 40)
        head = await store.log.head()
        for clock in CLOCKS:
            expected = await from_events(store, desk, clock)
            curve = await store.equity_curve(desk.portfolio, clock=clock, rates=RATES)
            assert digits(curve) == digits(expected)
            through = head - desk.random.randint(1, 20)
            part = await store.equity_curve(desk.portfolio, clock=clock, rates=RATES, through=through)
            assert digits(part) == digits(await from_events(store, desk, clock, through))
            after = expected[len(expected) // 2].at
            later = await store.equity_curve(desk.portfolio, clock=clock, rates=RATES, after=after)
            assert digits(later) == digits(point for point in expected if point.at > after)
            asked += 3
            for base in (None, "USD", "GBP", "JPY") if currencies else ():
                curve = await store.equity_curve(desk.portfolio, clock=clock, rates=PAIRS, base=base)
                assert digits(curve) == digits(
                    await from_events(store, desk, clock, rates=PAIRS, base=base)
                ), base
                asked += 1
    if not rare and not currencies:
        assert by_columns == asked


async def test_only_what_columns_do_not_tell_is_read_as_events(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """One position with a bust among ten: its stream is read as events, and no other."""
    desk = Desk(1, currencies=False, rare=0.0, late=0.0)
    desk.kinds = ["fill", "mark", "cash"]  # none that is old
    await desk.play(store, 60)
    busted = next(one for one in desk.positions if one.is_open and len(one.executions) > 1)
    last = [one.execution_id for one in busted.executions if one.counts and one.execution_id][-1]
    busted.bust_fill(str(last), occurred_at=desk.now)
    async with store.unit_of_work() as uow:
        await uow.positions.update_position(busted)
    read: list[Any] = []

    class Counted(Replay):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            read.append(options["streams"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(equity_streams, "Replay", Counted)
    curve = await store.equity_curve(desk.portfolio)
    assert read == [[busted.id]]
    assert digits(curve) == digits(await from_events(store, desk, "occurred_at"))


@pytest.mark.parametrize("late", [False, True], ids=["from columns", "from events"])
async def test_a_position_that_was_never_marked_has_the_decimals_of_its_rate(store: EventStore, late: bool):
    """Its open result is 0 in another currency: times the rate it has decimals, until it is closed."""
    desk = Desk(0, currencies=True, rare=0.0, late=0.0)
    position = Position.open_by_fill(
        "S", OrderSide.BUY, D(3), D(10), D(0), occurred_at=EPOCH, execution_id="E1",
        portfolio_id=desk.portfolio.id, currency="EUR",
    )  # fmt: skip
    ends = EPOCH + timedelta(seconds=2)
    position.apply_fill(OrderSide.SELL, D(1), D(10), "E2", occurred_at=ends)
    position.apply_fill(
        OrderSide.SELL, D(2), D(10), "E3", occurred_at=ends - timedelta(seconds=1) if late else ends
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(desk.portfolio)
        await uow.positions.save_position(position)
    curve = await store.equity_curve(desk.portfolio, rates=RATES)
    assert [str(point.equity) for point in curve] == ["1000.5000", *["1000.5000"] * late, "1000.50"]
    assert digits(curve) == digits(await from_events(store, desk, "occurred_at"))


async def test_a_missing_rate_is_refused_as_before(store: EventStore):
    """A position in a currency without a rate: the same error as of the fold of all events."""
    desk = Desk(3, currencies=True, rare=0.0, late=0.0)
    await desk.play(store, 40)
    with pytest.raises(DomainError, match="give the rate") as raised:
        await store.equity_curve(desk.portfolio)
    assert raised.value.rule == "money.rate"


async def test_the_points_are_a_sequence(store: EventStore):
    """Points are made when they are asked for: by index, slice, iteration, and equal to a tuple of them."""
    desk = Desk(5, currencies=False, rare=0.0, late=0.0)
    await desk.play(store, 10)
    curve = await store.equity_curve(desk.portfolio)
    points = tuple(curve)
    assert curve[0] == points[0] == (EPOCH, D("1000.50"))
    assert curve[-1] == points[-1]
    assert tuple(curve[1:3]) == points[1:3]
    assert curve.points == points
    assert curve == equity.EquityCurve(desk.portfolio.id, "occurred_at", points)
    assert curve.at(points[1].at) == points[1].equity
    assert isinstance(curve.points, equity._PointsOfColumns)


@pytest.mark.parametrize("clock", CLOCKS)
async def test_positions_that_are_in_the_log_before_their_portfolio(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, clock: Clock
):
    """A log that was imported stream by stream: pages of positions come first, each with the times of the one before."""
    monkeypatch.setattr(equity_streams, "_PAGE_EVENTS", 5)
    desk = Desk(0, currencies=False, rare=0.0, late=0.0)
    positions = [
        Position.open_by_fill(
            f"S{number}", OrderSide.BUY, D(3), D(10), D(0), occurred_at=EPOCH + timedelta(seconds=1 + number),
            execution_id=f"E{number}", portfolio_id=desk.portfolio.id,
        )
        for number in range(3)
    ]  # fmt: skip
    for position in positions:
        for second in range(3, 12):
            position.mark(D(second), occurred_at=EPOCH + timedelta(seconds=second))
    desk.portfolio.record_cash(CashKind.DEPOSIT, D(5), occurred_at=EPOCH + timedelta(seconds=20))
    staged = interleaved([*positions, desk.portfolio], [])
    times = [EPOCH + timedelta(seconds=40 - number) for number in range(len(staged))]
    await record(store, staged, times)
    curve = await store.equity_curve(desk.portfolio, clock=clock)
    assert digits(curve) == digits(await from_events(store, desk, clock))


async def test_a_portfolio_with_few_events_in_a_long_log(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """No statement looks through more than a window of the log, and what has no events is passed over."""
    desk = Desk(2, currencies=False, rare=0.0, late=0.0)
    await desk.play(store, 5)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute("SELECT setval('events_position_seq', 2000000000)")
    other = Desk(3, currencies=False, rare=0.0, late=0.0)
    await other.play(store, 20)
    desk.portfolio.record_cash(CashKind.DEPOSIT, D(5), occurred_at=desk.now)
    async with store.unit_of_work() as uow:
        await uow.portfolios.update_portfolio(desk.portfolio)
    asked: list[int] = []

    class Small(Window):
        def __init__(self, after: int, through: int) -> None:
            super().__init__(after, through, 10)
            asked.append(self.end - after)

    monkeypatch.setattr(equity_streams, "Window", Small)
    curve = await store.equity_curve(desk.portfolio)
    assert digits(curve) == digits(await from_events(store, desk, "occurred_at"))
    assert max(asked) == 10
    assert len(asked) < 100


async def test_a_curve_that_is_cancelled_leaves_nothing_behind(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """Cancelled while a page is folded, it ends the statement of the next page before it ends itself."""
    monkeypatch.setattr(equity_streams, "_PAGE_EVENTS", 5)
    desk = Desk(0, currencies=False, rare=0.0, late=0.0)
    await desk.play(store, 40)
    folding = asyncio.Event()

    async def fold_for_long(*_: Any) -> None:
        folding.set()
        await asyncio.Event().wait()

    read = equity_streams.ColumnCurve._read

    async def read_one_page(curve: Any, window: Window, after: int, size: int) -> Any:
        if after:
            await asyncio.Event().wait()
        return await read(curve, window, after, size)

    monkeypatch.setattr(equity_streams.ColumnCurve, "_read", read_one_page)
    monkeypatch.setattr(equity_streams, "_fold_all", fold_for_long)
    task = asyncio.create_task(store.equity_curve(desk.portfolio))
    await folding.wait()
    assert _ahead()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _ahead()


def _ahead() -> list[str]:
    """The tasks that read a page ahead."""
    return [name for task in asyncio.all_tasks() if "page ahead" in (name := task.get_name())]


@pytest.mark.parametrize("currency", ["USD", "EUR", None])
@pytest.mark.parametrize("moves_in", [False, True], ids=["assigned", "moved in"])
@pytest.mark.parametrize("has_name", [False, True], ids=["no name", "a name"])
async def test_the_currency_of_a_portfolio_changes_under_a_position(
    store: EventStore, currency: str | None, moves_in: bool, has_name: bool
):
    """A position whose opening in the portfolio names no currency may have one: it is converted to the portfolio's of then."""
    desk = Desk(0, currencies=has_name, rare=0.0, late=0.0)
    position = Position.open_by_fill(
        "S", OrderSide.BUY, D(3), D(10), D(0), occurred_at=EPOCH, execution_id="E1",
        portfolio_id=None if moves_in else desk.portfolio.id, currency=currency if moves_in else None,
    )  # fmt: skip
    position.mark(D(12), occurred_at=EPOCH + timedelta(seconds=1))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(desk.portfolio)
        await uow.positions.save_position(position)
    async with store.unit_of_work() as uow:
        if moves_in:
            position.portfolio_id = desk.portfolio.id
        else:
            position.currency = currency
        desk.portfolio.currency = "EUR"
        await uow.positions.update_position(position)
        await uow.portfolios.update_portfolio(desk.portfolio)
        position.mark(D(13), occurred_at=EPOCH + timedelta(days=9_999))
        await uow.positions.update_position(position)
    rates = {"USD": D("0.9"), "EUR": D("1.1")}
    for clock in CLOCKS:
        for named, base in ((rates, None), (PAIRS, "USD"), (PAIRS, "JPY")):
            found: list[Any] = []
            for points in (
                store.equity_curve(desk.portfolio, clock=clock, rates=named, base=base),
                from_events(store, desk, clock, rates=named, base=base),
            ):
                try:
                    found.append(digits(await points))
                except DomainError as error:
                    found.append(str(error))
            assert found[0] == found[1], (clock, base)
