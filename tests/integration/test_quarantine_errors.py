"""Whatever an error or a key contains, its key is put in quarantine, and all others are folded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.domain.order import OrderCreated
from eventstore.errors import ConnectionError
from projections import Projection, ProjectionWorker, Table
from projections.quarantine import list_quarantined, retry
from projections.rebuild import rebuild
from tests.running_workers import place

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore


class UnshowableError(Exception):
    """Has neither message nor representation."""

    def __str__(self) -> str:
        raise RuntimeError("no message")

    __repr__ = __str__


class Unshowable:
    """A value of which the same is true."""

    def __repr__(self) -> str:
        raise RuntimeError("no representation")

    __str__ = __repr__


def _deep() -> None:
    _deep()


def _raise(error: BaseException) -> None:
    raise error


def _caused() -> None:
    try:
        raise UnshowableError
    except UnshowableError as error:
        raise ValueError("\ud800\x00") from error


ERRORS: dict[str, Callable[[], None]] = {
    "NUL": lambda: _raise(ValueError("a\x00b")),
    "SURROGATE": lambda: _raise(ValueError("a\ud800b")),
    "UNSHOWABLE": lambda: _raise(UnshowableError()),
    "KEY": lambda: _raise(KeyError(Unshowable())),
    "HUGE": lambda: _raise(ValueError("x" * 30_000_000)),
    "DEEP": _deep,
    "CAUSED": _caused,
    "GROUP": lambda: _raise(ExceptionGroup("many\x00", [UnshowableError(), ValueError("\udfff")] * 1_000)),
    "CONNECTION": lambda: _raise(ConnectionError("a projection has no connection")),
    "MEMORY": lambda: _raise(MemoryError()),
    "NAMED": lambda: _raise(type("\x00\ud800", (Exception,), {})("x")),
}


@dataclass(frozen=True)
class Sum:
    """How much was ordered of a symbol."""

    symbol: str
    quantity: Decimal


class Hostile(Projection[Sum]):
    """Fails for each symbol in its own way."""

    name = "hostile"
    table = Table("hostile", row=Sum, key=("symbol",))
    events = (OrderCreated,)
    fails = True

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        assert isinstance(event.event, OrderCreated)
        return (event.event.symbol,)

    def evolve(self, row: Sum | None, event: RecordedEvent) -> Sum:
        """Fail, or add."""
        assert isinstance(event.event, OrderCreated)
        if self.fails and event.event.symbol in ERRORS:
            ERRORS[event.event.symbol]()
        row = row or Sum(self.key(event)[0], Decimal(0))
        return replace(row, quantity=row.quantity + (event.event.quantity or 0))


KEYS: dict[str, Any] = {"KEY-NUL": "a\x00b", "KEY-SURROGATE": "a\udfffb", "KEY-OBJECT": Unshowable()}


class HostileKeys(Hostile):
    """Its keys are what no column of text takes."""

    name = "hostile_keys"
    table = Table("hostile_keys", row=Sum, key=("symbol",))

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol, or what it stands for."""
        (symbol,) = super().key(event)
        return (KEYS.get(symbol, symbol),)


async def fold(store: EventStore, projection: Hostile, symbols: list[str]) -> dict[str, str]:
    """Fold an order of each symbol and some good ones; return the errors by the symbol of the event."""
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    placed = {}
    for symbol in ("GOOD", *symbols, "GOOD"):
        (order,) = await place(store, 5, symbol=symbol)
        placed[order.id] = symbol
    await ProjectionWorker(store.log, projection).catch_up(await store.log.head())
    held = await list_quarantined(store.log, projection.name)
    return {placed[one.stream_id]: one.error for one in held}


async def sums(store: EventStore, projection: Hostile) -> dict[str, Decimal]:
    """What the table has."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch(f"SELECT symbol, quantity FROM {projection.table.name}")
    return {row["symbol"]: row["quantity"] for row in rows}


async def test_whatever_an_error_contains(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """NUL, half a surrogate pair, no message, megabytes: the key is in quarantine with a text, a rebuild keeps it there, a retry repairs it."""
    errors = await fold(store, Hostile(), list(ERRORS))
    assert errors.keys() == ERRORS.keys()
    assert await sums(store, Hostile()) == {"GOOD": Decimal(10)}
    assert "ValueError: a\\x00b" in errors["NUL"]
    assert "ValueError: a\\ud800b" in errors["SURROGATE"]
    assert "UnshowableError" in errors["UNSHOWABLE"]
    for one in await list_quarantined(store.log, Hostile.name):
        assert len(one.error) < 5_000
        assert len(one.traceback) < 50_000
    rebuilt = await rebuild(store.log, Hostile())
    assert rebuilt.quarantined == len(ERRORS)
    monkeypatch.setattr(Hostile, "fails", False)
    for one in await list_quarantined(store.log, Hostile.name):
        assert await retry(store.log, Hostile(), one.key)
    assert (await sums(store, Hostile())).keys() == {"GOOD", *ERRORS}


async def test_whatever_a_key_contains(store: EventStore):
    """A key that the database cannot take is in quarantine under a text of its own."""
    errors = await fold(store, HostileKeys(), list(KEYS))
    assert errors.keys() == KEYS.keys()
    assert await sums(store, HostileKeys()) == {"GOOD": Decimal(10)}
    keys = {one.key for one in await list_quarantined(store.log, HostileKeys.name)}
    assert len(keys) == len(KEYS)
    assert '["a\\udfffb"]' in keys
