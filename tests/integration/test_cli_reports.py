"""`eventstore orders`, `fills`, `positions`, `portfolios`, `pnl`, `equity` and `trades`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.testing.strategies import EPOCH
from tests import command_line
from tests.command_line import COMMAND, assert_not_found, assert_refused, run, run_on_terminal
from tests.conftest import url_of

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

D = Decimal
LISTS = ("orders", "fills", "positions", "portfolios", "trades")
REPORTS = (*LISTS, "pnl", "equity")
MARKUP = "[/x] [bold]b[/bold]"


class Book(NamedTuple):
    """What `fill` has stored."""

    portfolio: Portfolio
    bought: Order
    sold: Order
    working: Order


def minute(number: int) -> datetime:
    """A time of the book."""
    return EPOCH + timedelta(minutes=number)


async def fill(
    store: EventStore, *, symbol: str = "ES", strategy: str = "revert", currency: str | None = None
) -> Book:
    """A portfolio that bought 10 and sold 4 of them, with an order that works."""
    portfolio = Portfolio(
        name="main", initial_capital=D(100_000), strategy=strategy, currency=currency, created_at=EPOCH
    )
    details: Any = {"strategy": strategy, "portfolio_id": portfolio.id}
    bought = Order.create_limit_order(
        symbol,
        D(10),
        OrderSide.BUY,
        limit_price=D("100.50"),
        client_order_id="C-1",
        occurred_at=minute(1),
        **details,
    )
    sold = Order.create_market_order(
        symbol, D(4), OrderSide.SELL, client_order_id="C-2", occurred_at=minute(2), **details
    )
    working = Order.create_limit_order(
        symbol,
        D(3),
        OrderSide.BUY,
        limit_price=D(90),
        client_order_id="C-3",
        occurred_at=minute(3),
        **details,
    )
    for number, order in enumerate((bought, sold, working), start=1):
        order.submit(f"B-{number}", occurred_at=minute(number))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_many([bought, sold, working])
    for order, quantity, price, when in ((bought, 10, "100.25", 5), (sold, 4, "101.00", 6)):
        async with store.unit_of_work() as uow:
            await uow.book(order).fill(
                D(quantity), D(price), f"E-{when}", commission=D("1.10"), occurred_at=minute(when)
            )
    return Book(portfolio, bought, sold, working)


async def command(*arguments: Any) -> str:
    """What a command prints that ends well."""
    done = await asyncio.to_thread(run, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


async def rows(*arguments: Any) -> list[dict[str, Any]]:
    """What a command prints with --json."""
    return [json.loads(line) for line in (await command(*arguments, "--json")).splitlines()]


async def refused(*arguments: Any) -> Any:
    """What becomes of a command."""
    return await asyncio.to_thread(run, *arguments)


async def test_every_report_says_what_the_library_says(store: EventStore, migrated_config: DatabaseConfig):
    """The rows of each command are those of `store.reports`, in JSON and in CSV, with every digit."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    for name in REPORTS:
        report = await getattr(store.reports, name)(**({"every": "day"} if name == "equity" else {}))
        assert len(report) > 0 or name == "trades", name
        assert await rows(name, *to) == json.loads(report.to_json()), name
        assert await command(name, "--csv", *to) == report.to_csv(), name
        shown = await command(name, *to)
        assert shown.startswith(f"{name}: {len(report)} row"), shown


async def test_singular_and_plural(store: EventStore, migrated_config: DatabaseConfig):
    """Both name the command; the help has one of them."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    for name in LISTS:
        assert await rows(name.removesuffix("s"), *to) == await rows(name, *to)
    helped = (await command("--help")).splitlines()
    assert not [line for line in helped if line.split()[:1] in [[name.removesuffix("s")] for name in LISTS]]
    assert [line for line in helped if line.split()[:1] == ["orders"]]


async def test_filters(store: EventStore, migrated_config: DatabaseConfig):
    """By portfolio, strategy, symbol and time; what has nothing to show is an empty list."""
    book = await fill(store)
    other = await fill(store, symbol="NQ", strategy="other")
    to = ("--url", url_of(migrated_config))
    for name, value in (("--symbol", "NQ"), ("--strategy", "other"), ("--portfolio", other.portfolio.id)):
        found = await rows("fills", name, value, *to)
        assert {row["symbol"] for row in found} == {"NQ"}, name
        assert len(found) == 2
    assert await rows("fills", "--symbol", "nothing", *to) == []
    assert await rows("orders", "--account", "nothing", *to) == []
    span = ("--from", minute(5).isoformat(), "--to", minute(6).isoformat())
    assert [row["execution_id"] for row in await rows("fills", "--symbol", "ES", *span, *to)] == ["E-5"]
    assert [row["client_order_id"] for row in await rows("orders", "--active", "--symbol", "ES", *to)] == [
        "C-3"
    ]
    assert [row["status"] for row in await rows("orders", "--status", "Filled", "--symbol", "ES", *to)] == [
        "FILLED"
    ] * 2
    assert len(await rows("orders", "--limit", 2, *to)) == 2
    assert [row["name"] for row in await rows("portfolios", str(book.portfolio.id), *to)] == ["main"]
    assert await rows("positions", "--which", "closed", *to) == []
    ambiguous = await refused("equity", "--portfolio", "main", *to)
    assert_refused(ambiguous, "'main' is ambiguous", str(book.portfolio.id), str(other.portfolio.id))


async def test_as_of(store: EventStore, migrated_config: DatabaseConfig):
    """By position, by what was known and by what was true; now is not the past."""
    book = await fill(store)
    to = ("--url", url_of(migrated_config))
    (opened,) = [one for one in await store.history(Order, book.bought.id) if one.type == "OrderFilled"]
    for point in (opened.position - 1, (opened.recorded_at - timedelta(microseconds=1)).isoformat()):
        (order,) = await rows("orders", "C-1", "--as-of", point, *to)
        assert (order["status"], order["filled_quantity"]) == ("SUBMITTED", "0")
        assert await rows("positions", "--as-of", point, *to) == []
    true = ("--as-of", minute(5).isoformat(), "--clock", "occurred")
    (position,) = await rows("positions", *true, *to)
    assert (position["quantity"], position["commission"]) == ("10", "1.10")
    assert len(await rows("orders", "--as-of", "now", *to)) == 3
    assert await rows("orders", "--as-of", "2000-01-01", *to) == []
    assert "as of 2000-01-01" in await command("orders", "--as-of", "2000-01-01", *to)


async def test_an_entity_is_found_by_each_of_its_ids(store: EventStore, migrated_config: DatabaseConfig):
    """By its id, the beginning of it, its client order id and its broker id; a portfolio by its name."""
    book = await fill(store)
    to = ("--url", url_of(migrated_config))
    order_id = str(book.bought.id)
    for name in (order_id, order_id.upper(), order_id[:30], order_id.replace("-", "")[:28], "C-1", "B-1"):
        (found,) = await rows("orders", name, *to)
        assert found["order_id"] == order_id, name
        assert [row["execution_id"] for row in await rows("fills", name, *to)] == ["E-5"], name
        assert len(await rows("history", "order", name, *to)) == 3, name
        assert len(await rows("show", name, *to)) == 3, name
    assert {row["order_id"] for row in await rows("orders", "C-1", "B-3", *to)} == {
        order_id,
        str(book.working.id),
    }
    (held,) = await rows("positions", *to)
    assert await rows("positions", held["position_id"][:30], *to) == [held]
    for name in ("main", str(book.portfolio.id), str(book.portfolio.id)[:30]):
        assert [row["name"] for row in await rows("portfolios", name, *to)] == ["main"], name
        assert len(await rows("equity", "--portfolio", name, *to)) == 1, name


async def test_an_id_of_several_is_one_line_with_all_of_them(
    store: EventStore, migrated_config: DatabaseConfig
):
    """Of a beginning, of a client order id that was used again, and of more than can be listed."""
    first, second = UUID("abcd0000-0000-7000-8000-000000000001"), UUID("abcd0000-0000-7000-8000-000000000002")
    orders = [
        Order.create_market_order("ES", D(1), OrderSide.BUY, client_order_id=MARKUP, id=one)
        for one in (first, second)
    ]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders)
    to = ("--url", url_of(migrated_config))
    for name in ("abcd", "ABCD0000-", "abcd0000-0000-7000-8000-0000", MARKUP):
        for arguments in (("orders", name), ("history", "order", name), ("show", name)):
            assert_refused(await refused(*arguments, *to), "is ambiguous", f"{first} (", f"{second} (")
    assert (await rows("orders", f"{first}"[:-1] + "1", *to))[0]["order_id"] == str(first)
    many = [
        Order.create_market_order("ES", D(1), OrderSide.BUY, id=UUID(int=(0xEF01 << 112) + n))
        for n in range(20)
    ]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(many)
    said = await refused("orders", "ef01", *to)
    assert_refused(said, "and more")
    assert said.stderr.count("ef010000-") == 10


async def test_an_id_of_nothing(store: EventStore, migrated_config: DatabaseConfig):
    """Status 1 and one line, which says what can be given; a beginning that is too short is none."""
    book = await fill(store)
    to = ("--url", url_of(migrated_config))
    for name in ("nothing", str(book.bought.id)[:3], "ffffffff", "0123-4567", "' OR 1=1", "C-", "%", uuid4()):
        assert_not_found(await refused("orders", name, *to), "order", str(name)[:3])
    assert_not_found(await refused("positions", "nothing", *to), "there is no position 'nothing'")
    assert_not_found(await refused("portfolios", "Main", *to), "a name")
    assert_not_found(
        await refused("history", "position", book.bought.id.hex[:30], *to), "there is no position"
    )


async def test_what_is_refused(store: EventStore, migrated_config: DatabaseConfig):
    """Each with one line that says what to do, and status 2."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("orders", "--as-of", "noon"), "--as-of 'noon' is not a time"),
        (("orders", "--as-of", 99), "99"),
        (("orders", "--as-of", 10**30), "beyond every position"),
        (("orders", "--as-of", 4, "--clock", "occurred"), "--clock needs a time"),
        (("orders", "--clock", "occurred"), "--as-of"),
        (("orders", "--from", "2026-13-01"), "--from '2026-13-01' is not a time"),
        (("orders", "--from", "today", "--to", "yesterday"), "before it begins"),
        (("orders", "--timezone", "Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (("orders", "--json", "--csv"), "exclude each other"),
        (("orders", "--watch", "--csv"), "leave out --csv"),
        (("orders", "--watch", "--as-of", 3), "the past does not change"),
        (("orders", "--columns", "symbol,colour"), "no column 'colour'"),
        (("orders", "--status", "lost"), "--status"),
        (("orders", "--limit", 0), "--limit"),
        (("orders", "--limit", 10**30), "limit"),
        (("pnl", "--by", "day,colour"), "colour"),
        (("pnl", "--session-end", "25:00"), "25:00"),
        (("pnl", "--rate", "EUR"), "--rate 'EUR' is not a rate"),
        (("pnl", "--rate", "EUR=-1"), "write EUR=1.0842"),
        (("pnl", "--rate", "EUR=nan"), "write EUR=1.0842"),
        (("pnl", "--rate", "EUR/=1.1"), "or EUR/USD=1.0842"),
        (("pnl", "--rate", "USD/USD=1"), "or EUR/USD=1.0842"),
        (("pnl", "--rate", "EUR/USD=1.1", "--rate", "EUR/USD=1.2"), "EUR/USD is given twice"),
        (("pnl", "--base", "EUR"), "give rates, too"),
        (("equity", "--base", "EUR"), "give rates, too"),
        (("trades", "--base", "EUR"), "give rates, too"),
        (("pnl", "--rate", "EUR/GBP=1.1", "--base", "EUR"), "without a currency cannot be turned into EUR"),
        (
            ("equity", "--rate", "EUR/GBP=1.1", "--base", "EUR"),
            "without a currency, which cannot be turned into",
        ),
        (("equity", "--every", "year"), "--every"),
        (("equity", "--symbol", "ES"), "--symbol"),
    ]
    for arguments, said in cases:
        assert_refused(await refused(*arguments, *to), said)


async def test_rates_of_pairs_are_crossed(store: EventStore, migrated_config: DatabaseConfig):
    """Dollars are shown in yen by way of euros: by each command that takes rates."""
    await fill(store, currency="USD")
    to = ("--url", url_of(migrated_config))
    at = ("--rate", "EUR/USD=1.25", "--rate", "EUR/JPY=200", "--base", "JPY")
    for name, amount in (("portfolios", "equity"), ("equity", "equity"), ("pnl", "commission")):
        own, converted = await rows(name, *to), await rows(name, *at, *to)
        assert [row["currency"] for row in converted] == ["JPY"] * len(own), name
        assert [D(row[amount]) for row in converted] == [D(row[amount]) * 160 for row in own], name
        assert_refused(await refused(name, *at[:2], "--base", "JPY", *to), "give the rate USD/JPY")


async def test_times_are_shown_in_the_zone(store: EventStore, migrated_config: DatabaseConfig):
    """The table is in the zone, and a time without an offset is in it too; JSON is in UTC."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    tokyo = ("--timezone", "Asia/Tokyo")
    local = minute(5) + timedelta(hours=9)
    shown = await command("fills", *tokyo, *to)
    assert shown.splitlines()[0] == "fills: 2 rows, times in Asia/Tokyo"
    assert f"{local:%Y-%m-%d %H:%M:%S}" in shown
    (found,) = await rows("fills", "--to", f"{local + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}", *tokyo, *to)
    assert datetime.fromisoformat(found["occurred_at"]) == minute(5)
    (day,) = await rows("pnl", *tokyo, *to)
    assert day["period"] == f"{local:%Y-%m-%d}"


async def test_columns(store: EventStore, migrated_config: DatabaseConfig):
    """Those that are named, in their order, in each format; all; and by default none that is empty."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    named = ("--columns", "symbol, quantity,broker_order_id", "--symbol", "ES")
    table = (await command("orders", *named, *to)).splitlines()
    assert [line.split() for line in table[1:2] + table[3:]] == [
        ["symbol", "quantity", "broker_order_id"], ["ES", "10", "B-1"], ["ES", "4", "B-2"], ["ES", "3", "B-3"],
    ]  # fmt: skip
    assert (await rows("orders", *named, *to))[0] == {
        "symbol": "ES",
        "quantity": "10",
        "broker_order_id": "B-1",
    }
    assert (await command("orders", *named, "--csv", *to)).splitlines()[:2] == [
        "symbol,quantity,broker_order_id",
        "ES,10,B-1",
    ]
    usual = (await command("orders", "C-2", *to)).splitlines()[1].split()
    assert "limit_price" not in usual  # it is a market order
    assert "stop_price" in (await command("orders", "--columns", "all", *to)).splitlines()[1].split()


async def test_ids_are_shortened_on_a_terminal_alone(store: EventStore, migrated_config: DatabaseConfig):
    """To beginnings that tell the rows apart, and that find the entities again; a pipe gets whole ids."""
    book = await fill(store)
    to = ("--url", url_of(migrated_config))
    status, screen = await asyncio.to_thread(
        run_on_terminal, "orders", "--columns", "order_id", *to, columns=120
    )
    assert status == 0
    shown = [line.strip() for line in screen.splitlines()[-3:]]
    ids = [str(one.id) for one in (book.bought, book.sold, book.working)]
    assert len(set(shown)) == 3
    for short, whole in zip(shown, ids, strict=True):
        assert whole.startswith(short)
        assert 8 <= len(short) < 36
        assert [row["order_id"] for row in await rows("orders", short, *to)] == [whole]
    piped = await command("orders", *to)
    assert all(one in piped for one in ids)


async def test_text_is_data(store: EventStore, migrated_config: DatabaseConfig):
    """Markup is printed as it is, CSV keeps every character in a pipe and none of them reaches a terminal."""
    hostile = f"{MARKUP}\x1b[2J\n=cmd()"
    await fill(store, symbol=hostile)
    to = ("--url", url_of(migrated_config))
    for name in ("orders", "fills", "positions", "pnl"):
        options = ("--by", "symbol") if name == "pnl" else ()
        shown = await command(name, *options, *to)
        assert MARKUP in shown
        assert r"\x1b[2J\n" in shown
        assert "\x1b" not in shown
    exact = list(csv.DictReader(io.StringIO(await command("orders", "--csv", *to))))
    assert {row["symbol"] for row in exact} == {hostile}
    _, screen = await asyncio.to_thread(run_on_terminal, "orders", "--csv", *to, columns=120)
    assert r"\x1b[2J\n" in screen
    assert "\x1b" not in screen


# ---- watching --------------------------------------------------------------------------------------------------


@contextmanager
def watching(*arguments: Any, columns: int = 200) -> Iterator[tuple[Any, int]]:
    """A command on a terminal of its own, which is interrupted at the end."""
    import fcntl
    import struct
    import subprocess
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, columns, 0, 0))
    set_environment = command_line.environment({"TERM": "xterm"})
    for name in ("COLUMNS", "LINES"):
        set_environment.pop(name, None)
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=set_environment, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(master: int, words: str, *, timeout_s: float = 60) -> str:
    """What a terminal gets until these words come."""
    seen = b""
    while select.select([master], [], [], timeout_s)[0]:
        with suppress(OSError):
            part = os.read(master, 65_536)
            seen += part
            if words in seen.decode(errors="replace"):
                return seen.decode(errors="replace")
            if part:
                continue
        break
    raise AssertionError(seen.decode(errors="replace"))


async def test_watch_redraws_and_ends_at_an_interrupt(store: EventStore, migrated_config: DatabaseConfig):
    """It shows what is there, then what is appended; the newest rows if not all fit; Ctrl-C ends it with status 130."""
    await fill(store)
    with watching("orders", "--watch", "--interval", "0.1", "--url", url_of(migrated_config)) as (
        process,
        master,
    ):
        await asyncio.to_thread(read_until, master, "orders: 3 rows")
        late = [
            Order.create_market_order(
                "LATE", D(1), OrderSide.BUY, client_order_id=f"L-{number}", occurred_at=minute(60 + number)
            )
            for number in range(20)
        ]
        async with store.unit_of_work() as uow:
            await uow.orders.save_many(late)
        seen = await asyncio.to_thread(read_until, master, "L-19")
        assert "the last 8 of 23 rows" in seen
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 30) == 130
        with suppress(OSError):
            assert "Traceback" not in os.read(master, 65_536).decode(errors="replace")


async def test_watch_in_a_pipe(store: EventStore, migrated_config: DatabaseConfig):
    """One array per line, a new one when the log has grown."""
    await fill(store)
    process = command_line.start(
        "orders", "--watch", "--json", "--interval", "0.1", "--url", url_of(migrated_config)
    )
    try:
        assert process.stdout is not None
        assert len(json.loads(await asyncio.to_thread(process.stdout.readline))) == 3
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("NQ", D(1), OrderSide.BUY))
        assert len(json.loads(await asyncio.to_thread(process.stdout.readline))) == 4
        process.send_signal(signal.SIGINT)
        _, said = await asyncio.to_thread(process.communicate, timeout=30)
        assert (process.returncode, said) == (130, "")
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def test_a_reader_that_goes_away(store: EventStore, migrated_config: DatabaseConfig):
    """A closed pipe is no error that anybody sees."""
    await fill(store)
    process = command_line.start("orders", "--csv", "--url", url_of(migrated_config))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, said = await asyncio.to_thread(process.communicate, timeout=60)
    assert said == ""
