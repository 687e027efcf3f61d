"""Reports without a database: what is shown, frames, text for programs, filters and periods."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from eventstore.cli.reports import table_of
from eventstore.domain.instrument import Instrument, InstrumentKind
from eventstore.domain.money import CurrencyAmount
from eventstore.errors import ConfigurationError, LimitError
from eventstore.reports import Column, Report, positions, trades
from eventstore.reports.columns import amounts, averages, prices, quantities, quotients, texts, times
from eventstore.reports.display import Display
from eventstore.reports.filters import Question, last
from eventstore.reports.money import told
from eventstore.reports.periods import Periods, checked_by

D = Decimal
WHEN = datetime(2026, 3, 8, 21, 0, 0, 120_000, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\x1b[31m\n&[bold]"
COLUMNS = (
    *texts("symbol", "currency"),
    *quantities("quantity"),
    *prices("price"),
    *averages("average_price"),
    *amounts("pnl"),
    *quotients("fraction"),
    *times("at"),
    Column("held", "duration"),
    Column("count", "integer"),
    Column("is_open", "boolean"),
)


def instrument(**values: Any) -> Instrument:
    """An instrument with increments."""
    return Instrument(kind=InstrumentKind.FUTURE, currency="USD", **values)


def report(*rows: tuple[Any, ...], columns: tuple[Column, ...] = COLUMNS) -> Report:
    """A report of some rows."""
    return Report("some", columns, rows, through=7)


def one_row(**values: Any) -> tuple[Any, ...]:
    """A row of all columns; None where nothing is given."""
    return tuple(values.get(column.name) for column in COLUMNS)


def shown(name: str, value: Any, *, row: dict[str, Any] | None = None, **display: Instrument) -> str:
    """The text of one cell."""
    of_instruments = Display.of(display.values())
    found = Report("some", COLUMNS, [one_row(**{**(row or {}), name: value})], display=of_instruments)
    return found.select(name).shown()[0][0]


DUST = D("149.9999999999999999999")


@pytest.mark.parametrize(
    ("name", "value", "row", "text"),
    [
        ("pnl", DUST, {"currency": "USD"}, "150.00"),
        ("pnl", DUST, {"currency": "JPY"}, "150"),
        ("pnl", DUST, {"currency": "KWD"}, "150.000"),
        ("pnl", DUST, {"currency": "USDT"}, "150.00"),
        ("pnl", DUST, {}, "150.00"),
        ("pnl", D("0.02054321987"), {"currency": "BNB"}, "0.02054322"),
        ("pnl", D("-0.0000000000001"), {"currency": "USD"}, "0.00"),
        ("pnl", D("-1234567.891"), {"currency": "EUR"}, "-1,234,567.89"),
        ("pnl", D("1E+6"), {"currency": "EUR"}, "1,000,000.00"),
        ("price", DUST, {}, "150"),
        ("price", D("0.1") * 3, {}, "0.3"),
        ("average_price", D(100) / 3, {}, "33.33333333"),
        ("quantity", DUST, {}, "150"),
        ("fraction", D("0.0207043189"), {}, "0.0207"),
        ("at", WHEN, {}, "2026-03-08 21:00:00.120"),
        ("held", timedelta(days=3, hours=4, minutes=5, seconds=6), {}, "3d 04:05:06"),
        ("is_open", False, {}, "no"),
        ("count", 12, {}, "12"),
        ("symbol", None, {}, ""),
        ("symbol", HOSTILE, {}, r"<script>alert('x')</script>\x1b[31m\n&[bold]"),
    ],
)
def test_what_is_shown(name: str, value: Any, row: dict[str, Any], text: str):
    """No dust is shown: amounts have the scale of their currency, and all else at most eight decimals."""
    assert shown(name, value, row=row) == text


def test_what_is_shown_of_an_instrument():
    """Prices have the decimals of the tick and quantities those of the lot, whatever the other columns are."""
    es = instrument(symbol="ESM6", tick_size=D("0.25"), lot_size=D(1))
    row = {"symbol": "ESM6"}
    assert shown("price", D("5800.5"), row=row, es=es) == "5800.50"
    assert shown("average_price", D(17401) / 3, row=row, es=es) == "5800.33"
    assert shown("quantity", DUST, row=row, es=es) == "150"
    fine = instrument(symbol="ESM6", venue="OTHER", tick_size=D("0.0001"))
    assert shown("price", D("5800.5"), row=row, es=es, fine=fine) == "5800.5000"


def test_rows_stay_exact():
    """Rows, CSV, JSON and frames have every digit."""
    wide = D("12345678901234567890.1234567890123456")
    found = report(one_row(symbol="A", pnl=wide, at=WHEN, held=timedelta(seconds=1.5), count=2, is_open=True))
    assert found[0]["pnl"] == wide
    assert found.rows() == list(found)
    assert json.loads(found.to_json())[0] | {"symbol": "A"} == {
        **dict.fromkeys(column.name for column in COLUMNS),
        "symbol": "A",
        "pnl": str(wide),
        "at": "2026-03-08T21:00:00.120000Z",
        "held": 1.5,
        "count": 2,
        "is_open": True,
    }
    assert found.to_csv().splitlines()[1] == f"A,,,,,{wide},,2026-03-08T21:00:00.120000Z,1.5,2,true"
    assert found.table["pnl"].to_pylist() == [wide]
    assert found.table["at"].to_pylist() == [WHEN]
    assert found.table.schema.metadata == {b"eventstore.position": b"7"}


def test_decimals_of_frames():
    """A scale that the values need; decimal256 beyond 38 digits; an average has the digits of a decimal128."""
    columns = (*amounts("exact"), *averages("average"))
    rows = [(D("1E-30"), D(1) / 3), (D("1E+20"), D(10) ** 20 / 3), (None, None)]
    table = report(*rows, columns=columns).table
    assert table.schema.field("exact").type == pa.decimal256(76, 30)
    assert table["exact"].to_pylist() == [D("1E-30"), D("1E+20"), None]
    assert table.schema.field("average").type == pa.decimal128(38, 18)
    assert table["average"].to_pylist()[0] == D("0.333333333333333333")
    assert report(columns=columns).table.schema.field("exact").type == pa.decimal128(38, 0)
    with pytest.raises(
        ConfigurationError, match=r"some\.exact needs 1 digits before the point and 90 after it"
    ):
        _ = report((D("1E-90"), None), columns=columns).table


def test_frames_of_pandas_and_polars():
    """Decimals stay decimals; floats come only when they are asked for; integers and truth values may be missing."""
    found = report(one_row(symbol="A", pnl=D("0.1"), count=1, is_open=True, at=WHEN), one_row(symbol="B"))
    frame = found.to_pandas()
    assert frame["pnl"].tolist() == [D("0.1"), None]
    assert str(frame["count"].dtype) == "Int64"
    floats = found.to_pandas(floats=True)
    assert floats["pnl"].dtype == "float64"
    assert floats["at"][0] == WHEN
    assert found.to_polars()["pnl"].to_list() == [D("0.1"), None]
    wide = report(one_row(pnl=D("1E-30")), one_row(pnl=D("1E+20")))
    with pytest.raises(ConfigurationError, match="the column pnl needs more than the 38 digits"):
        wide.to_polars()


def test_html_and_rich_take_text_as_text():
    """A text of the log is neither HTML nor markup nor a control character."""
    found = report(one_row(symbol=HOSTILE, quantity=D(1)), *[one_row(symbol="B")] * 300)
    html = found._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html
    assert "... and 101 more rows" in html
    table = found.to_rich(title="[bold]Fills")
    assert table.columns[0]._cells[0].plain == r"<script>alert('x')</script>\x1b[31m\n&[bold]"
    assert table.columns[2].justify == "right"
    assert table.title.plain == "[bold]Fills"


def test_a_selection_of_columns():
    """It has these columns in this order, also a selection of a selection; an unknown one is named."""
    found = report(one_row(symbol="A", pnl=DUST, currency="JPY"))
    some = found.select("pnl", "symbol").select("pnl")
    assert some.rows() == [{"pnl": DUST}]
    assert some.shown() == [["150"]]
    with pytest.raises(ConfigurationError, match="the report some has no column 'profit': it has symbol"):
        found.select("profit")
    assert repr(some) == "<Report some: 1 row, 1 columns, through position 7>"


def test_rows_need_neither_frames_nor_the_terminal():
    """A report and its texts work where pyarrow, pandas, polars and rich are not installed."""
    code = """
import sys
for name in ("pyarrow", "pandas", "polars", "rich"):
    sys.modules[name] = None
import eventstore
import eventstore.store
from decimal import Decimal
from eventstore.errors import ConfigurationError
from eventstore.reports import Column, Report
found = Report("some", [Column("pnl", "decimal", "money")], [[Decimal("1.5")]])
assert found.rows() == [{"pnl": Decimal("1.5")}]
assert found.to_csv() and found.to_json() and found.shown() and found._repr_html_()
for ask in (lambda: found.table, found.to_polars, found.to_pandas, found.to_rich):
    try:
        ask()
    except ConfigurationError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'trading-eventstore[") == 4


def test_the_library_loads_no_frames():
    """Neither the store nor its reports import pyarrow before a frame is asked for."""
    code = "import sys, eventstore.store, eventstore.reports; print({'pyarrow', 'pandas', 'polars', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---- filters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"simbol": "A"}, "the report some has no filter 'simbol'"),
        ({"account": "A"}, "the report some has no filter 'account'"),
        ({"symbol": 5}, "symbol must be a text, not 5"),
        ({"from_": WHEN, "to": WHEN - timedelta(1)}, "before it begins"),
        ({"position": 1, "recorded_at": WHEN}, "give at most one of position, recorded_at, occurred_at"),
        ({"position": -1}, "position"),
        ({"from_": "2026-01-01"}, "a time must be a datetime"),
    ],
)
def test_filters_that_are_refused(filters: dict[str, Any], message: str):
    """An unknown filter, one that the report does not have, and a bad value are named."""
    with pytest.raises((ConfigurationError, LimitError), match=message):
        Question.of("some", filters, without=("account",))


def test_filters_that_say_nothing():
    """None filters nothing, also for a filter that the report does not have."""
    assert Question.of("some", {"account": None, "symbol": None}, without=("account",)) == Question()
    portfolio = uuid4()
    asked = Question.of("some", {"portfolio": str(portfolio), "from_": WHEN})
    assert asked.has(portfolio=portfolio)
    assert not asked.has(portfolio=uuid4())
    assert asked.has_time(WHEN)
    assert not Question.of("some", {"to": WHEN}).has_time(WHEN)


def test_the_last_rows():
    """`limit` keeps the last ones."""
    assert last([1, 2, 3], 2) == [2, 3]
    assert last([1, 2, 3], None) == [1, 2, 3]
    with pytest.raises(LimitError):
        last([1], 0)


# ---- periods -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "zone", "end", "when", "label", "start", "hours"),
    [
        ("day", "America/New_York", "17:00", "2026-03-06T21:59", "2026-03-06", "2026-03-05T22:00", 24),
        ("day", "America/New_York", "17:00", "2026-03-06T22:00", "2026-03-07", "2026-03-06T22:00", 24),
        # On 8 March at 02:00 it was 03:00.
        ("day", "America/New_York", "17:00", "2026-03-08T20:59", "2026-03-08", "2026-03-07T22:00", 23),
        ("day", "America/New_York", "17:00", "2026-03-08T21:00", "2026-03-09", "2026-03-08T21:00", 24),
        ("day", "America/New_York", None, "2026-03-08T04:59", "2026-03-07", "2026-03-07T05:00", 24),
        ("day", "America/New_York", None, "2026-11-01T06:30", "2026-11-01", "2026-11-01T04:00", 25),
        # On 29 March at 02:00 it was 03:00, on 25 October at 03:00 it was 02:00.
        ("day", "Europe/Berlin", None, "2026-03-29T21:59", "2026-03-29", "2026-03-28T23:00", 23),
        ("day", "Europe/Berlin", None, "2026-10-25T22:59", "2026-10-25", "2026-10-24T22:00", 25),
        ("week", "Europe/Berlin", None, "2026-03-29T21:59", "2026-W13", "2026-03-22T23:00", 167),
        ("week", "America/New_York", "17:00", "2026-01-04T22:00", "2026-W02", "2026-01-04T22:00", 168),
        ("week", "UTC", None, "2025-12-29T00:00", "2026-W01", "2025-12-29T00:00", 168),
        ("month", "Europe/Berlin", None, "2026-03-31T22:00", "2026-04", "2026-03-31T22:00", 720),
        ("month", "America/New_York", "17:00", "2025-12-31T22:00", "2026-01", "2025-12-31T22:00", 744),
        ("hour", "Europe/Berlin", None, "2026-10-25T00:30", "2026-10-25T02:00+02:00", "2026-10-25T00:00", 1),
        ("hour", "Europe/Berlin", None, "2026-10-25T01:30", "2026-10-25T02:00+01:00", "2026-10-25T01:00", 1),
        ("hour", "Asia/Kolkata", None, "2026-01-01T00:10", "2026-01-01T05:00+05:30", "2025-12-31T23:30", 1),
    ],
)
def test_periods(  # noqa: PLR0917 - a row of the table above
    unit: str, zone: str, end: str | None, when: str, label: str, start: str, hours: int
):
    """What is at the end of a session belongs to the next day; a day has 23 or 25 hours where the clock is changed."""
    period = Periods.of(unit, zone, end).of_time(datetime.fromisoformat(f"{when}Z"))
    assert period is not None
    assert period.label == label
    assert period.start == datetime.fromisoformat(f"{start}Z")
    assert period.end - period.start == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("end", [None, "17:00", time(2, 30)])
@pytest.mark.parametrize("unit", ["hour", "day", "week", "month"])
def test_periods_have_no_gap(unit: str, zone: str, end: Any):
    """Every time lies in its period, and the next period begins where one ends."""
    periods = Periods.of(unit, zone, end)
    step = {"hour": timedelta(minutes=20), "day": timedelta(hours=5)}.get(unit, timedelta(days=5))
    when = datetime(2026, 3, 1, tzinfo=UTC)
    while when < datetime(2026, 4, 10, tzinfo=UTC):
        period = periods.of_time(when)
        assert period is not None
        assert period.start <= when < period.end
        following = periods.of_time(period.end)
        assert following is not None
        if zone != "Australia/Lord_Howe" or unit != "hour":  # its clock is changed by half an hour
            assert following.start == period.end
        when += step


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("year", "UTC", None), "a unit is one of hour, day, week, month, not 'year'"),
        (("day", "Mars/Olympus", None), "there is no time zone 'Mars/Olympus'"),
        (("day", "UTC", "25:00"), "session_end must be a time of day"),
        (("day", "UTC", 17), "session_end must be a time of day"),
    ],
)
def test_periods_that_are_refused(given: Any, message: str):
    """A bad unit, zone or end is named."""
    with pytest.raises(ConfigurationError, match=message):
        Periods.of(*given)


def test_what_rows_are_grouped_by():
    """One unit, each name once, in the order of the columns."""
    assert checked_by(["strategy", "symbol", "week"]) == ("week", "symbol", "strategy")
    assert checked_by("day") == ("day",)
    for by in (["day", "week"], ["day", "day"], ["colour"]):
        with pytest.raises(ConfigurationError):
            checked_by(by)


def test_amounts_of_other_currencies_are_rounded_when_shown():
    """Each to the scale of its currency; underneath they are exact."""
    column = Column("other_commissions", unit="moneys")
    exact = told(
        [CurrencyAmount(currency="BNB", amount=D(1) / 75), CurrencyAmount(currency="JPY", amount=D("2.6"))]
    )
    one = Report("some", (column,), [(exact,)])
    assert one.shown() == [["0.01333333 BNB, 3 JPY"]]
    assert one.rows()[0]["other_commissions"] == exact


def test_parts_of_a_report():
    """Some rows, the last rows and another order keep the columns, the position and how each row is rounded."""
    es = instrument(symbol="ES", tick_size=D("0.25"))
    rows = [one_row(symbol="ES" if number % 2 else "NQ", price=D(number)) for number in range(1, 5)]
    whole = Report("some", COLUMNS, rows, through=7, display=Display.of([es])).select("price")
    odd = whole.where(lambda row: row["price"] % 2 == 1)
    assert [line[0] for line in odd.shown()] == ["1.00", "3.00"]
    assert [line[0] for line in whole.last(2).shown()] == ["3.00", "4"]
    assert [line[0] for line in whole.ordered(lambda row: -row["price"]).shown()] == [
        "4",
        "3.00",
        "2",
        "1.00",
    ]
    assert whole.last(None).rows() == whole.rows() == whole.last(99).rows()
    assert (odd.name, odd.columns, odd.through) == (whole.name, whole.columns, 7)
    with pytest.raises(LimitError):
        whole.last(0)


def test_times_are_shown_in_a_zone():
    """In UTC, or in the zone that is asked for."""
    one = report(one_row(at=WHEN)).select("at")
    assert one.shown() == [["2026-03-08 21:00:00.120"]]
    assert one.shown(timezone=ZoneInfo("America/New_York")) == [["2026-03-08 17:00:00.120"]]


@pytest.mark.parametrize(
    ("name", "columns"),
    [("positions", positions.COLUMNS), ("trades", trades.COLUMNS)],
    ids=["positions", "trades"],
)
def test_a_table_shows_commissions_in_coins(name: str, columns: tuple[Column, ...]):
    """Where there are any: they are no part of the other columns."""
    for text in (None, "0.02 BNB"):
        row = tuple(text if column.name == "other_commissions" else None for column in columns)
        shown = "".join(map(str, table_of(Report(name, columns, [row], through=1)).lines(400)))
        assert ("0.02 BNB" in shown) is (text is not None)
