"""The laws of projections: the library's own satisfy them, and a projection that breaks one of them is told which."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from eventstore.core.event import Event, RecordedEvent
from eventstore.errors import ConfigurationError, ConnectionError
from eventstore.examples.turnover import TurnoverProjection
from eventstore.store import built_in_projections
from eventstore.testing.strategies import EPOCH, trading_days
from projections import EntityProjection, Projection, Table
from projections.laws import LawsBrokenError, check_laws
from tests.entities import Strategy
from tests.scale import examples

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


class Traded(Event, category="tested trade"):
    """Something traded."""

    symbol: str
    amount: Decimal


@dataclass(frozen=True)
class Total:
    """How much of a symbol traded."""

    symbol: str
    trades: int
    amount: Decimal


class Totals(Projection[Total]):
    """A projection that satisfies every law."""

    name = "totals"
    table = Table("totals", row=Total, key=("symbol",))
    events = (Traded,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        return (_traded(event).symbol,)

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """One trade more; none left where the amounts cancel."""
        row = row or Total(_traded(event).symbol, 0, Decimal(0))
        return replace(row, trades=row.trades + 1, amount=row.amount + _traded(event).amount)


def _traded(event: RecordedEvent) -> Traded:
    assert isinstance(event.event, Traded)
    return event.event


class Impure(Totals):
    """Gives another row at each call."""

    calls = count()

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """As many trades as calls."""
        return replace(_total(super().evolve(row, event)), trades=next(self.calls))


class Mutating(Totals):
    """Changes the row that it is given."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Add in place; the result is always the same object."""
        if row is None:
            return super().evolve(row, event)
        object.__setattr__(row, "trades", 7)
        return row


class OfBatches(Totals):
    """Keeps something on the row that no column holds, so it is lost at the end of a batch."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Count what was folded since the row was loaded."""
        unsaved = getattr(row, "unsaved", 0) + 1
        after = replace(_total(super().evolve(row, event)), trades=unsaved)
        object.__setattr__(after, "unsaved", unsaved)
        return after


class OfItsStart(Totals):
    """Remembers the first event that it has seen, which after a restart is another one."""

    first: int | None = None

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol; and note the first version."""
        self.first = self.first or event.version
        return super().key(event)

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """The version that this process began with."""
        return replace(_total(super().evolve(row, event)), trades=self.first or event.version)


class GuardedAgainstReplay(Totals):
    """Takes what it has seen before for a repeat, so a rebuild by the same object finds nothing to fold."""

    highest = 0
    is_repeat = False
    began_at: int | None = None

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol; and note how far the log was seen, by who has seen all of it."""
        self.began_at = self.began_at or event.position
        self.is_repeat = self.began_at == 1 and event.position <= self.highest
        self.highest = max(self.highest, event.position)
        return super().key(event)

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Count no repeat."""
        after = _total(super().evolve(row, event))
        return replace(after, amount=Decimal(0)) if self.is_repeat else after


class OfPositions(Totals):
    """Counts how far apart the events of a key are, so the events of other keys change its rows."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """The place in the log."""
        return replace(_total(super().evolve(row, event)), trades=event.position)


class Rounded(Totals):
    """Has a column that does not keep every digit."""

    table = Table("rounded", row=Total, key=("symbol",), types={"amount": "numeric(12,1)"})

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """The last amount."""
        return replace(_total(super().evolve(row, event)), amount=_traded(event).amount)


class OfAnotherKey(Totals):
    """Gives a row that is not found under the key of its event."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """A row of nobody."""
        del row, event
        return Total("another", 1, Decimal(1))


class OfReaders(Totals):
    """Counts, where it begins with a row that is there, each event only once: as a reader it may be asked again."""

    began_within: bool | None = None

    def __init__(self) -> None:
        self.counted: set[int] = set()

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Count no event twice, unless the fold began at the beginning."""
        if self.began_within is None:
            self.began_within = row is not None
        after = _total(super().evolve(row, event))
        if not self.began_within:
            return after
        if event.position in self.counted:
            return row
        self.counted.add(event.position)
        return after


def _total(row: Total | None) -> Total:
    assert row is not None
    return row


MUTANTS: dict[type[Totals], str] = {
    Impure: "purity",
    Mutating: "purity",
    OfBatches: "batches",
    OfItsStart: "restarts",
    GuardedAgainstReplay: "rebuild",
    OfPositions: "interleavings",
    Rounded: "round trip",
    OfReaders: "fresh reads",
}
TRADES = st.builds(
    Traded,
    symbol=st.sampled_from(["A", "B"]),
    amount=st.integers(1, 300).map(lambda cents: Decimal(cents).scaleb(-2)),
    occurred_at=st.just(EPOCH),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_projection_that_breaks_a_law_is_told_which(server_config: DatabaseConfig, mutant: type[Totals]):
    """Exactly that law is named, with a short log and what it gave."""
    with pytest.raises(LawsBrokenError) as raised:
        # It ends with the first that breaks the law; of sixteen, none did in one run of ten.
        check_laws(mutant, events=TRADES, database=server_config, examples=examples(40))
    assert raised.value.laws == (MUTANTS[mutant],)
    told = str(raised.value)
    assert f"law broken: {MUTANTS[mutant]} (" in told
    events = told.split("the events:\n")[1].splitlines()
    assert len(events) <= 3
    assert all("tested trade" in line and ": Traded(symbol='" in line for line in events)


def test_a_row_that_is_not_found_under_its_key_breaks_the_round_trip(server_config: DatabaseConfig):
    """Rows that nobody finds again break that law, and what follows from it."""
    with pytest.raises(LawsBrokenError, match="came back as no row") as raised:
        check_laws(OfAnotherKey, events=TRADES, database=server_config, examples=1)
    assert "round trip" in raised.value.laws


def test_a_projection_of_ones_own_satisfies_every_law(server_config: DatabaseConfig):
    """Events are built from the fields of their classes where no strategy is given."""
    check_laws(Totals, database=server_config, examples=examples(8))


def test_turnover_satisfies_every_law_on_trading_days(server_config: DatabaseConfig):
    """The example of the documentation, on days with busts and corrections."""
    days = trading_days().map(lambda day: day.log)
    check_laws(TurnoverProjection, events=days, database=server_config, examples=examples(6))


@pytest.mark.parametrize("number", range(5), ids=[one.name for one in built_in_projections()])
def test_the_read_tables_satisfy_every_law(server_config: DatabaseConfig, number: int):
    """The library's own projections, on legal lives of their entities."""
    check_laws(lambda: list(built_in_projections())[number], database=server_config, examples=examples(3))


class StrategiesProjection(EntityProjection[Strategy]):
    """The read table of an entity of a user's own."""

    name = "strategies"

    def __init__(self) -> None:
        super().__init__(Strategy, Table("strategies", row=Strategy, key=("id",)))


def test_an_entity_of_ones_own_satisfies_every_law(server_config: DatabaseConfig):
    """Its streams begin with the creating event; what its commands allow is not known, and not needed."""
    check_laws(StrategiesProjection, database=server_config, examples=examples(4))


async def test_it_can_be_called_in_a_running_event_loop(server_config: DatabaseConfig):
    """Also from a coroutine: the laws run in an event loop of their own."""
    check_laws(Totals, events=TRADES, database=server_config, examples=1)


class FailsAtTheSecond(Totals):
    """Takes the first event of a row alone."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Fail where there is a row."""
        if row is not None:
            raise KeyError("a mistake")
        return super().evolve(row, event)


class FailsAtAll(Totals):
    """Takes nothing."""

    def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
        """Fail."""
        raise ValueError(f"no {row} {event}")


class FailsByKey(Totals):
    """Knows no key of some events."""

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Fail for one symbol."""
        (symbol,) = super().key(event)
        return ({"A": symbol}[symbol],)


@pytest.mark.parametrize(
    ("mutant", "events_needed", "said"),
    [
        (FailsAtTheSecond, 2, r"evolve raised KeyError: 'a mistake' at event 2 \(Traded\), given symbol='A'"),
        (FailsAtAll, 1, r"evolve raised ValueError: no None .* at event 1 \(Traded\), given no row"),
        (FailsByKey, 1, r"key\(\) failed at event 1 \(Traded\): KeyError: 'B'"),
    ],
)
def test_a_projection_that_raises_breaks_the_first_law(
    server_config: DatabaseConfig, mutant: type[Totals], events_needed: int, said: str
):
    """Quarantine by any way is no equality: the shortest log, the event and the error are named."""
    with pytest.raises(LawsBrokenError, match=said) as raised:
        check_laws(mutant, events=TRADES, database=server_config, examples=examples(16))
    assert raised.value.laws == ("totality",)
    assert len(str(raised.value).split("the events:\n")[1].splitlines()) == events_needed


def test_a_refusal_on_purpose_is_said_so(server_config: DatabaseConfig):
    """Where its error is named, the other laws are tried, and keys in quarantine are compared too."""

    class Refusing(Totals):
        def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
            if _traded(event).amount > 1:
                raise ArithmeticError("too much")
            return super().evolve(row, event)

    class RefusingInBatches(Totals):
        def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
            unsaved = getattr(row, "unsaved", 0) + 1
            if unsaved > 1:
                raise ArithmeticError("only one in a batch")
            after = _total(super().evolve(row, event))
            object.__setattr__(after, "unsaved", unsaved)
            return after

    check_laws(
        Refusing, events=TRADES, database=server_config, refusals=(ArithmeticError,), examples=examples(8)
    )
    with pytest.raises(LawsBrokenError, match="totality"):
        check_laws(
            Refusing, events=TRADES, database=server_config, refusals=(KeyError,), examples=examples(16)
        )
    with pytest.raises(LawsBrokenError, match="in one batch: in quarantine") as raised:
        check_laws(
            RefusingInBatches,
            events=TRADES.filter(
                lambda trade: trade.symbol == "A"
            ),  # every log of two events has two of one key
            database=server_config,
            refusals=(ArithmeticError,),
            examples=examples(80),
        )
    assert "batches" in raised.value.laws


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "none",
            "nothing was checked of batches, restarts, rebuild, interleavings, round trip, fresh reads: give events=",
        ),
        ("refused", "so nothing was checked: give events="),
    ],
)
def test_a_law_without_a_row_proves_nothing(server_config: DatabaseConfig, rows: str, said: str):
    """Laws that compared no row are named: nothing was checked of them."""

    class Rowless(Totals):
        def evolve(self, row: Total | None, event: RecordedEvent) -> Total | None:
            del row, event
            if rows == "refused":
                raise ArithmeticError
            return None

    with pytest.raises(ConfigurationError, match=said):
        check_laws(Rowless, events=TRADES, database=server_config, refusals=(ArithmeticError,), examples=3)


def test_a_server_that_is_not_there_is_named(server_config: DatabaseConfig):
    """No server, no check: the error says so."""
    nowhere = server_config.replace(port=1, connect_timeout=0.5)
    with pytest.raises(ConnectionError):
        check_laws(Totals, events=TRADES, database=nowhere, examples=1)


def test_without_hypothesis_one_line_says_what_to_install():
    """Where the extra is missing, the import says which."""
    program = "import sys; sys.modules['hypothesis'] = None\nimport projections.laws.checker"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'trading-eventstore[testing]'" in done.stderr.splitlines()[-1]
