"""Statements: read from comma-separated values and frames; bad input is one line that names row and column."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from eventstore.domain.executions import OrderSide
from eventstore.errors import ConfigurationError, DomainError
from eventstore.reconciliation import StatedCash, StatedExecution, StatedPosition, Statement

PORTFOLIO = UUID("0198c0de-0000-7000-8000-000000000001")
CLOSE = datetime(2026, 1, 30, 21, 0, tzinfo=UTC)

CSV = f"""\
kind,time,portfolio_id,account,symbol,side,quantity,price,cost,currency,amount,execution_id,commission,commission_currency
statement,2026-01-30T21:00:00Z,{PORTFOLIO},U1,,,,,,,,,,
position,,,,AAPL,,100,187.15,18715,USD,,,,

cash,,,,,,,,,USD,"80283.00",,,
execution,2026-01-29T15:31:00+00:00,,,AAPL,buy,100,187.15,,,,e-1,1.00,USD
"""


def test_a_statement_is_read_from_text():
    """Each line is of its kind, an empty value says nothing, an empty line is left out."""
    statement = Statement.from_csv(CSV)

    assert statement == Statement(
        as_of=CLOSE,
        portfolio_id=PORTFOLIO,
        account="U1",
        positions=(
            StatedPosition(
                symbol="AAPL",
                quantity=Decimal(100),
                price=Decimal("187.15"),
                cost=Decimal(18715),
                currency="USD",
            ),
        ),
        cash=(StatedCash(currency="USD", amount=Decimal("80283.00")),),
        executions=(
            StatedExecution(
                execution_id="e-1",
                symbol="AAPL",
                side=OrderSide.BUY,
                quantity=Decimal(100),
                price=Decimal("187.15"),
                commission=Decimal("1.00"),
                commission_currency="USD",
                time=datetime(2026, 1, 29, 15, 31, tzinfo=UTC),
            ),
        ),
    )
    assert statement.executions_since == datetime(2026, 1, 29, 15, 31, tzinfo=UTC)


def test_a_statement_is_read_from_a_file(tmp_path: Path):
    """A path is read as UTF-8, with or without the mark at its begin that spreadsheets write."""
    path = tmp_path / "statement.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")

    assert Statement.from_csv(path) == Statement.from_csv(str(path)) == Statement.from_csv(CSV)


def test_arguments_replace_what_the_file_says():
    """The time, the portfolio and the account may come from the caller; parts without a line are not on it."""
    statement = Statement.from_csv(
        "kind,symbol,quantity\nposition,AAPL,-5\n",
        as_of=CLOSE,
        portfolio_id=PORTFOLIO,
        sections={"executions"},
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert (statement.as_of, statement.cash, statement.executions) == (CLOSE, None, ())
    assert statement.executions_since == datetime(2026, 1, 1, tzinfo=UTC)


ROWS = [
    {
        "kind": "position",
        "symbol": "BTCUSDT",
        "quantity": 0.1,
        "price": 64000.5,
        "amount": None,
        "currency": None,
    },
    {"kind": "cash", "symbol": None, "quantity": None, "price": None, "amount": 1250.25, "currency": "USDT"},
]


@pytest.mark.parametrize(
    "frame",
    [ROWS, pd.DataFrame(ROWS), pl.DataFrame(ROWS), pa.Table.from_pylist(ROWS)],
    ids=["list", "pandas", "polars", "arrow"],
)
def test_a_statement_is_read_from_a_frame(frame):
    """Each kind of frame says the same; a float is the decimal that it prints; what is missing says nothing."""
    statement = Statement.from_frame(frame, as_of=pd.Timestamp(CLOSE), portfolio_id=PORTFOLIO)

    assert statement.positions == (
        StatedPosition(symbol="BTCUSDT", quantity=Decimal("0.1"), price=Decimal("64000.5")),
    )
    assert statement.cash == (StatedCash(currency="USDT", amount=Decimal("1250.25")),)
    assert statement.as_of == CLOSE


def test_lines_of_one_position_are_added_up():
    """A broker's lots of one position are one position: quantities and costs sum up, the price is their average."""
    statement = Statement.from_csv(
        "kind,symbol,quantity,price,cost\nposition,AAPL,100,10,1000\nposition,AAPL,300,14,4200\n",
        as_of=CLOSE,
        portfolio_id=PORTFOLIO,
    )

    assert statement.positions == (
        StatedPosition(symbol="AAPL", quantity=Decimal(400), price=Decimal(13), cost=Decimal(5200)),
    )


GIVEN: dict[str, Any] = {"as_of": CLOSE, "portfolio_id": PORTFOLIO}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "kind,symbol,quantity\nposition,AAPL,many\n",
            "row 1 (line 2), column quantity: should be a valid decimal, not 'many'",
        ),
        (
            "kind,symbol,quantity\n\nposition,AAPL,1\nposition,IBM,\n",
            "row 2 (line 4), column quantity: a row of the kind",
        ),
        (
            "kind,symbol,side,quantity,price,time\nexecution,A,hold,1,1,2026-01-01\n",
            "column side: should be 'BUY' or 'SELL'",
        ),
        (
            "kind,symbol,side,quantity,price,time\nexecution,A,BUY,1,1,noon\n",
            "row 1 (line 2), column time: should be",
        ),
        (
            "kind,symbol,side,quantity,price,time\nexecution,A,BUY,-1,1,2026-01-01\n",
            "column quantity: should be greater than 0",
        ),
        ("kind,symbol,qty\nposition,A,1\n", "unknown column 'qty'"),
        ("symbol,quantity\nA,1\n", "no column 'kind'"),
        ("kind,kind\nposition,A\n", "the column 'kind' twice"),
        (
            "kind,symbol,quantity\nholding,A,1\n",
            "row 1 (line 2), column kind: must be one of statement, position",
        ),
        ("kind,symbol,quantity\nposition,A,1,234\n", "row 1 (line 2): 4 values for 3 columns"),
        (
            "kind,symbol,quantity,amount\nposition,A,1,5\n",
            "column amount: a row of the kind 'position' has no such value",
        ),
        ('kind,symbol,quantity\nposition,"A,1\n', "cannot be read as comma-separated values"),
        ("\n", "the statement is empty"),
        (
            "kind,time\nstatement,2026-01-01\nstatement,2026-01-02\n",
            "row 2 (line 3): a second row of the kind 'statement'",
        ),
    ],
)
def test_bad_text_is_refused_in_one_line(text: str, message: str):
    """The message is one line and says where: the row, its line in the file, and the column."""
    with pytest.raises(ConfigurationError) as refusal:
        Statement.from_csv(text, **GIVEN)

    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_bad_frame_is_refused_in_one_line():
    """A frame has no lines: the row counts from 1."""
    frame = pd.DataFrame({"kind": ["cash", "cash"], "amount": ["1", "x"], "currency": ["USD", "EUR"]})
    with pytest.raises(ConfigurationError, match=r"^statement, row 2, column amount: .*not 'x'$"):
        Statement.from_frame(frame, **GIVEN)
    with pytest.raises(ConfigurationError, match=r"a frame is a pandas\.DataFrame"):
        Statement.from_frame("kind,symbol", **GIVEN)


def test_an_id_may_be_a_number_that_is_exact():
    """An id that a frame keeps as a number becomes its text; a float that cannot hold its digits is refused."""
    row = {"kind": "execution", "symbol": "A", "side": "SELL", "quantity": 1, "price": 2, "time": CLOSE}
    statement = Statement.from_frame([row | {"execution_id": 12}, row | {"execution_id": 13.0}], **GIVEN)
    assert [one.execution_id for one in statement.executions or ()] == ["12", "13"]
    with pytest.raises(ConfigurationError, match=r"row 1, column execution_id: .* read the column as text"):
        Statement.from_frame([row | {"execution_id": 2.0**60}], **GIVEN)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    """The message names the file."""
    with pytest.raises(ConfigurationError, match=r"nothing\.csv cannot be read"):
        Statement.from_csv(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"portfolio_id": None}, "statement.portfolio_id"),
        ({"portfolio_id": None, "account": "U1", "cash": ()}, "statement.cash"),
        ({"since": datetime(2026, 2, 1, tzinfo=UTC)}, "statement.since"),
        ({"cash": (StatedCash(amount=1), StatedCash(amount=2))}, "statement.cash"),
    ],
)
def test_values_that_do_not_agree_are_refused(values, rule):
    """A statement is of a portfolio or an account; cash needs a portfolio; a currency is there once."""
    with pytest.raises(DomainError) as refusal:
        Statement(**{**GIVEN, **values})

    assert refusal.value.rule == rule


def test_an_execution_is_on_a_statement_once_and_in_its_time():
    """The same execution twice is refused, unless another order of ours had its part of the trade; so is a later one."""
    one = StatedExecution(
        execution_id="e", symbol="A", side=OrderSide.BUY, quantity=Decimal(1), price=Decimal(1), time=CLOSE
    )
    other = one.model_copy(update={"order_id": PORTFOLIO})
    assert Statement(**GIVEN, executions=(one, other)).executions == (one, other)
    with pytest.raises(DomainError, match="the execution e is on the statement twice"):
        Statement(**GIVEN, executions=(one, one))
    with pytest.raises(DomainError, match=r"execution e in A is of .* after"):
        Statement(as_of=datetime(2026, 1, 1, tzinfo=UTC), portfolio_id=PORTFOLIO, executions=(one,))
