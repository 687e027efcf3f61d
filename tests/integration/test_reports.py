"""Reports of three accounts, each number beside an independent computation in fractions from the same rows.

The accounts have flips, partial closes, busts, corrections, late fills, splits, three currencies, fees in a coin, funding and
dividends: `tests/histories`. The computation is its calculator, which shares nothing with the library. The offsets of the
time zones are written out here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from eventstore.store import EventStore
from tests.histories.calculator import Account, Amounts, _executions as counted_rows, account, amounts
from tests.histories.futures import FUTURES
from tests.histories.history import History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.player import Player
from tests.histories.shares import SHARES

HISTORIES = pytest.mark.parametrize("history", [PERPETUALS, SHARES, FUTURES], ids=lambda one: one.name)
MICROSECOND = timedelta(microseconds=1)
ROUNDED = Fraction(1, 10**15)
"""What a share of a cost with 24 decimals may leave of a sum of some of them."""

_SUMMER = {
    # The last and the first moment of winter time, in UTC, and the offsets of winter and summer in hours.
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC), -5, -4),
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), 1, 2),
    "UTC": (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC), 0, 0),
}


def local(when: datetime, zone: str) -> datetime:
    """The clock of a zone, as a time without a zone."""
    begin, end, winter, summer = _SUMMER[zone]
    return when.replace(tzinfo=None) + timedelta(hours=summer if begin <= when < end else winter)


def label(when: datetime, unit: str, zone: str, session_end: int) -> str:
    """The period of a time, by the definition: what is at or after the end of a session belongs to the next day."""
    clock = local(when, zone)
    if unit == "hour":
        return f"{clock:%Y-%m-%dT%H}"
    day = clock.date() + timedelta(days=bool(session_end) and clock.hour >= session_end)
    if unit == "week":
        return f"{day.isocalendar().year}-W{day.isocalendar().week:02}"
    return f"{day:%Y-%m}" if unit == "month" else day.isoformat()


async def played(store: EventStore, history: History) -> Player:
    """The account after all reports, in their order."""
    player = Player(store, history)
    for row in history.rows:
        assert await player.tell(row), row
    return player


def of_rows(
    rows: Iterable[Mapping[str, Any]], names: Iterable[str], *amounts: str
) -> dict[Any, list[Fraction]]:
    """The amounts of rows by some of their values; no two rows have the same."""
    found: dict[Any, list[Fraction]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        assert key not in found
        found[key] = [Fraction(row[name]) for name in amounts]
    return found


def agree(found: Mapping[Any, Iterable[Fraction]], wanted: Mapping[Any, Iterable[Fraction]]) -> None:
    """Both have the same keys, but for those whose amounts are all 0, and the same amounts."""
    told, expected = ({key: list(row) for key, row in one.items() if any(row)} for one in (found, wanted))
    assert told.keys() == expected.keys()
    for key, row in expected.items():
        assert all(abs(one - other) < ROUNDED for one, other in zip(told[key], row, strict=True)), (
            key,
            list(map(float, told[key])),
            list(map(float, row)),
        )


# ---- what the calculator says of a time --------------------------------------------------------------------------


def results(found: Account) -> dict[tuple[str, str], list[Fraction]]:
    """What was realised and would be realised, by symbol and currency."""
    return {
        (symbol, one.traded.currency): [one.realized, one.unrealized]
        for symbol, one in found.holdings.items()
    }


def commissions(history: History, until: datetime) -> dict[tuple[str, str], Fraction]:
    """The commissions by symbol and currency."""
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for row in counted_rows([row for row in history.rows if row.time <= until]).values():
        sums[str(row.symbol), str(row.fee_currency)] += Fraction(row.fee or 0)
    return sums


def income(history: History, until: datetime) -> dict[tuple[str | None, str], Fraction]:
    """Dividends, funding, fees and the like, by the instrument that they name and currency."""
    kinds = {"dividend", "tax", "funding", "interest", "account_fee", "rebate", "adjustment"}
    sums: dict[tuple[str | None, str], Fraction] = defaultdict(Fraction)
    for row in history.rows:
        if row.kind in kinds and row.time <= until:
            sums[row.symbol, str(row.currency)] += Fraction(row.amount or 0)
    return sums


def so_far(history: History, until: datetime) -> dict[tuple[str | None, str], list[Fraction]]:
    """Realised, unrealised, income and commission, by symbol and currency."""
    found: dict[tuple[str | None, str], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 4)
    for key, (realized, unrealized) in results(account(history, until)).items():
        found[key] = [realized, unrealized, Fraction(0), Fraction(0)]
    for place, sums in ((2, income(history, until)), (3, commissions(history, until))):
        for one, amount in sums.items():
            found[one] = [amount if at == place else old for at, old in enumerate(found[one])]
    return found


def changes(
    history: History, period_of: Callable[[datetime], str], since: datetime | None = None
) -> dict[Any, list[Fraction]]:
    """What each period changed, by its label, symbol and currency: the states after its last and before its first report."""
    last: dict[str, datetime] = {}
    for row in history.rows:
        if since is None or row.time >= since:
            last[period_of(row.time)] = max(last.get(period_of(row.time), row.time), row.time)
    before = {} if since is None else so_far(history, since - MICROSECOND)
    found = {}
    for period, time in sorted(last.items(), key=lambda one: one[1]):
        after = so_far(history, time)
        for key, amounts_after in after.items():
            old = before.get(key, [Fraction(0)] * 4)
            found[period, *key] = [new - one for new, one in zip(amounts_after, old, strict=True)]
        before = after
    return found


AMOUNTS = ("realized_pnl", "unrealized_change", "income", "commission")


@HISTORIES
@pytest.mark.parametrize(
    ("unit", "zone", "session_end"),
    [
        ("day", "America/New_York", 17),
        ("day", "Europe/Berlin", 0),
        ("day", "UTC", 0),
        ("week", "America/New_York", 17),
        ("month", "Europe/Berlin", 17),
    ],
)
async def test_profit_and_loss_of_each_period_and_symbol(
    store: EventStore, history: History, unit: Any, zone: str, session_end: int
):
    """Each period has the difference of two states of the account, also where the clock was changed."""
    await played(store, history)
    report = await store.reports.pnl(
        by=[unit, "symbol"], timezone=zone, session_end=f"{session_end:02}:00" if session_end else None
    )
    found = of_rows(report, ("period", "symbol", "currency"), *AMOUNTS)
    agree(found, changes(history, lambda when: label(when, unit, zone, session_end)))
    for row in report:
        total = row["realized_pnl"] + row["unrealized_change"] + row["income"] - row["commission"]
        assert row["total"] == total
        assert row["start"] < row["end"]


@HISTORIES
async def test_profit_and_loss_of_hours_and_of_a_range(store: EventStore, history: History):
    """Hours are those of the zone's clock; a range that begins mid-way has only what changed in it."""
    await played(store, history)
    hours = await store.reports.pnl(by=["hour", "symbol"], timezone="America/New_York")
    found = of_rows(
        ({**row, "period": row["period"][:13]} for row in hours), ("period", "symbol", "currency"), *AMOUNTS
    )
    agree(found, changes(history, lambda when: label(when, "hour", "America/New_York", 0)))
    since = sorted(row.time for row in history.rows)[len(history.rows) // 2]
    whole = await store.reports.pnl(by=["symbol"], from_=since)
    wanted = changes(history, lambda _: "", since)
    agree(
        of_rows(whole, ("symbol", "currency"), *AMOUNTS),
        {(symbol, currency): row for (_, symbol, currency), row in wanted.items()},
    )
    parts = [
        *(await store.reports.pnl(by=[], to=since)),
        *(await store.reports.pnl(by=[], from_=since)),
    ]
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for row in parts:
        sums[row["currency"]] += Fraction(row["total"])
    everything = await store.reports.pnl(by=[])
    assert {row["currency"]: Fraction(row["total"]) for row in everything} == {
        currency: amount for currency, amount in sums.items() if amount
    }


@HISTORIES
async def test_profit_and_loss_at_rates_is_the_change_of_equity(store: EventStore, history: History):
    """With rates all is in one currency, and the sum over all periods is the last equity less the capital."""
    player = await played(store, history)
    answer = history.answers[history.end]
    rates = {currency: Decimal(str(float(rate))) for currency, rate in answer.rates.items()}
    report = await store.reports.pnl(by="month", rates=rates)
    capital = sum(
        (
            Fraction(amount) * answer.rates.get(currency, 1)
            for currency, amount in account(history).capital.items()
        ),
        Fraction(0),
    )
    assert {row["currency"] for row in report} == {history.base}
    made = sum((Fraction(row["total"]) for row in report), Fraction(0))
    assert abs(made - (answer.equity - capital)) < ROUNDED
    (row,) = await store.reports.portfolios(portfolio=player.portfolio_id, rates=rates)
    assert abs(Fraction(row["equity"]) - answer.equity) < ROUNDED
    assert abs(Fraction(row["total_pnl"]) - made) < ROUNDED


@HISTORIES
async def test_at_crossed_rates_a_book_is_in_any_of_its_currencies(store: EventStore, history: History):
    """Rates of pairs into one currency: the equity, the results and the curve in each other one, as the account has them."""
    player = await played(store, history)
    answer = history.answers[history.end]
    pairs = {
        f"{currency}/{history.base}": Decimal(str(float(rate))) for currency, rate in answer.rates.items()
    }
    capital = sum(
        (amount * answer.rates.get(currency, 1) for currency, amount in account(history).capital.items()),
        Fraction(0),
    )
    for base, worth in answer.rates.items():
        wanted = answer.equity / worth
        of_crossed = abs(wanted) / 10**12  # a crossed rate has 16 digits
        (row,) = await store.reports.portfolios(portfolio=player.portfolio_id, rates=pairs, base=base)
        assert (row["currency"], abs(Fraction(row["equity"]) - wanted) < of_crossed) == (base, True)
        made = sum(
            (Fraction(one["total"]) for one in await store.reports.pnl(by=[], rates=pairs, base=base)),
            Fraction(0),
        )
        assert abs(made - (wanted - capital / worth)) < of_crossed
        (last,) = (await store.reports.equity(rates=pairs, base=base)).last(1)
        assert abs(Fraction(last["equity"]) - wanted) < of_crossed
        assert abs(Fraction(last["pnl"]) - made) < of_crossed


@HISTORIES
async def test_fills_are_the_executions_that_count(store: EventStore, history: History):
    """Each execution is one row, as its last correction says; what was taken back is there only if it is asked for."""
    player = await played(store, history)
    names = {str(id): name for name, id in player.order_ids.items()}
    wanted = {
        (row.order, row.id): (row.symbol, row.side, row.quantity, row.price, row.fee)
        for row in counted_rows(list(history.rows)).values()
    }
    report = await store.reports.fills()
    assert {
        (names[row["order_id"]], row["execution_id"]): (
            row["symbol"],
            row["side"],
            row["quantity"],
            row["price"],
            row["commission"],
        )
        for row in report
    } == wanted
    assert len(report) == len(wanted)
    assert {row["status"] for row in report} == {"COUNTED"}
    first = {(row.order, row.id): row for row in history.rows if row.kind == "fill"}
    for row in report:
        told = first.get((names[row["order_id"]], row["corrects"] or row["execution_id"]))
        if told is not None:  # a correction of a correction names the one before it
            assert row["occurred_at"] == told.time
            assert row["commission_currency"] == told.fee_currency
        traded = history.instruments[row["symbol"]]
        assert (row["currency"], row["portfolio_id"]) == (traded.currency, str(player.portfolio_id))
        assert row["value"] == row["quantity"] * row["price"] * traded.multiplier
    taken_back = [row for row in await store.reports.fills(taken_back=True) if row["status"] != "COUNTED"]
    busts = [row for row in history.rows if row.kind == "bust"]
    corrections = [row for row in history.rows if row.kind == "correct"]
    assert sorted(row["status"] for row in taken_back) == sorted(
        ["BUSTED"] * len(busts) + ["CORRECTED"] * len(corrections)
    )


@HISTORIES
async def test_turnover_sums_the_fills(store: EventStore, history: History):
    """Values bought and sold by day and symbol."""
    await played(store, history)
    wanted: dict[Any, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 4)
    first = {(row.order, row.id): row for row in history.rows if row.kind == "fill"}
    for key, row in counted_rows(list(history.rows)).items():
        traded = history.instruments[str(row.symbol)]
        value = Fraction(row.quantity or 0) * Fraction(row.price or 0) * traded.multiplier
        of = (label(first[key].time, "day", "America/New_York", 17), row.symbol, traded.currency)
        side = [value, Fraction(0)] if row.side == "BUY" else [Fraction(0), value]
        change = [Fraction(1), *side, abs(value)]
        wanted[of] = [old + new for old, new in zip(wanted[of], change, strict=True)]
    report = await store.reports.turnover(
        by=["symbol", "day"], timezone="America/New_York", session_end="17:00"
    )
    agree(of_rows(report, ("period", "symbol", "currency"), "fills", "bought", "sold", "traded"), wanted)
    assert all(row["net"] == row["bought"] - row["sold"] for row in report)


@HISTORIES
async def test_positions_exposure_and_cash_at_each_date(store: EventStore, history: History):
    """As of each date: quantities, averages, results, values, and balances by currency."""
    await played(store, history)
    for when in history.answers:
        wanted = account(history, when)
        opened = {symbol: one for symbol, one in wanted.holdings.items() if one.quantity}
        report = await store.reports.positions(occurred_at=when)
        agree(
            of_rows(report, ("symbol",), "quantity", "average_price", "exposure"),
            {(symbol,): [one.quantity, one.average, abs(one.value)] for symbol, one in opened.items()},
        )
        for row in report:
            one = opened[row["symbol"]]
            assert row["side"] == ("LONG" if one.quantity > 0 else "SHORT")
            assert row["mark"] is None if one.price is None else Fraction(row["mark"]) == one.price
            assert abs(Fraction(row["unrealized_pnl"] or 0) - one.unrealized) < ROUNDED
        everything = await store.reports.positions(which="all", occurred_at=when)
        realized: dict[Any, list[Fraction]] = defaultdict(lambda: [Fraction(0)])
        for row in everything:
            realized[row["symbol"],] = [realized[row["symbol"],][0] + Fraction(row["realized_pnl"])]
        agree(realized, {(symbol,): [one.realized] for symbol, one in wanted.holdings.items()})
        exposure = await store.reports.exposure(by=["symbol"], occurred_at=when)
        agree(
            of_rows(exposure, ("symbol", "currency"), "positions", "long", "short", "gross", "net"),
            {
                (symbol, one.traded.currency): [
                    Fraction(1),
                    max(one.value, Fraction(0)),
                    min(one.value, Fraction(0)),
                    abs(one.value),
                    one.value,
                ]
                for symbol, one in opened.items()
            },
        )
        if history is not SHARES:  # a late sale's result is recorded as it was known then
            cash = await store.reports.cash(occurred_at=when)
            agree(
                of_rows(cash, ("currency",), "balance", "capital", "income", "conversions"),
                {
                    (currency,): [
                        wanted.cash[currency],
                        wanted.capital[currency],
                        wanted.income[currency],
                        wanted.conversions[currency],
                    ]
                    for currency in {*wanted.cash, *wanted.capital, *wanted.income}
                },
            )


@HISTORIES
async def test_movements_sum_up_to_the_cash(store: EventStore, history: History):
    """The movements up to a time, summed by currency, are the balances of the portfolio then."""
    await played(store, history)
    for when in history.answers:
        sums: Amounts = amounts()
        for row in await store.reports.movements(to=when + MICROSECOND):
            sums[row["currency"]] += Fraction(row["amount"])
        cash = await store.reports.cash(occurred_at=when)
        agree(
            {(currency,): [amount] for currency, amount in sums.items()},
            of_rows(cash, ("currency",), "balance"),
        )


@HISTORIES
async def test_round_trips(store: EventStore, history: History):
    """A round trip from flat to flat: averages, results and fees of its executions, and the extremes of its marks."""
    await played(store, history)
    if history is SHARES:
        return
    found = of_rows(
        await store.reports.trades(),
        ("symbol", "opened_at", "closed_at"),
        "quantity",
        "realized_pnl",
        "fills",
    )
    agree(found, round_trips(history))


def round_trips(history: History) -> dict[Any, list[Fraction]]:
    """The round trips of an account without splits and late fills: a flip ends one and begins another."""
    found: dict[Any, list[Fraction]] = {}
    first = {(row.order, row.id): row for row in history.rows if row.kind == "fill"}
    fills = sorted(
        ((first[key].time, row) for key, row in counted_rows(list(history.rows)).items()),
        key=lambda one: one[0],
    )
    for symbol, traded in history.instruments.items():
        opened, quantity, cost, entered, realized, count = (
            None,
            Fraction(0),
            Fraction(0),
            Fraction(0),
            Fraction(0),
            0,
        )
        for time, row in fills:
            if row.symbol != symbol:
                continue
            left = Fraction(row.quantity or 0) * (1 if row.side == "BUY" else -1)
            price = Fraction(row.price or 0)
            while left:
                count += 1
                if quantity * left >= 0:
                    opened = opened or time
                    quantity, cost, entered, left = (
                        quantity + left,
                        cost + left * price,
                        entered + abs(left),
                        Fraction(0),
                    )
                    continue
                part = min(abs(left), abs(quantity)) * (1 if left > 0 else -1)
                share = cost * -part / quantity
                realized += (-part * price - share) * traded.multiplier
                quantity, cost, left = quantity + part, cost - share, left - part
                if not quantity:
                    found[symbol, opened, time] = [entered, realized, Fraction(count)]
                    opened, entered, realized, count = None, Fraction(0), Fraction(0), 0
    return found


@HISTORIES
async def test_the_equity_of_each_currency_and_at_rates(store: EventStore, history: History):
    """Without rates each currency has its own curve, with conversions as capital; at rates it is the curve of the store."""
    player = await played(store, history)
    report = await store.reports.equity(every="day")
    last: dict[Any, dict[str, Any]] = {}
    for row in report:
        last[row["currency"]] = row
    wanted = account(history)
    sums = amounts()
    for currency, amount in wanted.cash.items():
        sums[currency] += amount
    for one in wanted.holdings.values():
        sums[one.traded.currency] += one.unrealized if one.traded.on_margin else one.value
    agree(
        {(currency,): [Fraction(row["equity"]), Fraction(row["capital"])] for currency, row in last.items()},
        {
            (currency,): [amount, wanted.capital[currency] + wanted.conversions[currency]]
            for currency, amount in sums.items()
        },
    )
    answer = history.answers[history.end]
    rates = {currency: Decimal(str(float(rate))) for currency, rate in answer.rates.items()}
    curve = await store.equity_curve(player.portfolio_id, rates=rates)
    at_rates = await store.reports.equity(rates=rates)
    assert [(row["at"], row["equity"]) for row in at_rates] == [(one.at, one.equity) for one in curve]
    for row in at_rates:
        capital = account(history, row["at"]).capital
        total = sum((amount * answer.rates.get(name, 1) for name, amount in capital.items()), Fraction(0))
        assert Fraction(row["capital"]) == total
        assert row["pnl"] == row["equity"] - row["capital"]


@HISTORIES
async def test_drawdown_is_below_the_highest_result(store: EventStore, history: History):
    """At each point: the highest result so far less the result, over what the equity would be at that result."""
    await played(store, history)
    answer = history.answers[history.end]
    rates = {currency: Decimal(str(float(rate))) for currency, rate in answer.rates.items()}
    points = (await store.reports.equity(rates=rates)).rows()
    report = await store.reports.drawdown(rates=rates)
    assert len(report) == len(points)
    for place, row in enumerate(report):
        results_so_far = [Fraction(one["pnl"]) for one in points[: place + 1]]
        lost = max(results_so_far) - results_so_far[-1]
        assert Fraction(row["drawdown"]) == lost
        assert Fraction(row["peak"]) == Fraction(points[place]["equity"]) + lost
        assert abs(Fraction(row["drawdown_fraction"]) - lost / Fraction(row["peak"])) < ROUNDED
        peaks = [
            one["at"]
            for one, result in zip(points, results_so_far, strict=False)
            if result == max(results_so_far)
        ]
        assert row["peak_at"] == peaks[-1]
