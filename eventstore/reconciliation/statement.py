"""What a broker says of an account: its positions, its cash and its executions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from pydantic import model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.types import Name, UtcDatetime
from eventstore.errors import DomainError
from eventstore.reconciliation.rows import read_csv, read_frame, statement_values
from eventstore.reconciliation.stated import Section, Stated, StatedCash, StatedExecution, StatedPosition


class Statement(Stated):
    """A broker's statement of one portfolio or account. A part that is None is not on it, and is not compared.

    Attributes:
        as_of: The time of which it is: everything that occurred up to it, inclusive, is on it.
        portfolio_id: The portfolio in the store.
        account: The account (FIX Account, 1). If no portfolio is given, its positions and executions are those of all
            portfolios, and there is no cash to compare.
        positions: The open positions.
        cash: The cash by currency.
        executions: The executions since `since`.
        since: The time from which its executions are complete, inclusive; None: from the first of them.
    """

    as_of: UtcDatetime
    portfolio_id: UUID | None = None
    account: Name | None = None
    positions: tuple[StatedPosition, ...] | None = None
    cash: tuple[StatedCash, ...] | None = None
    executions: tuple[StatedExecution, ...] | None = None
    since: UtcDatetime | None = None

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        if self.portfolio_id is None and self.account is None:
            raise DomainError(
                "statement.portfolio_id", "a statement is of a portfolio or of an account: give one"
            )
        if self.cash is not None and self.portfolio_id is None:
            raise DomainError(
                "statement.cash", "cash belongs to a portfolio in the store: give its portfolio_id"
            )
        if self.since is not None and self.since > self.as_of:
            raise DomainError(
                "statement.since", f"{self.since} is after {self.as_of}, the time of the statement"
            )
        _refuse_repeats("statement.cash", "currency", [one.currency for one in self.cash or ()])
        keys = [
            (
                one.execution_id,
                one.symbol,
                one.side,
                one.order_id,
                one.client_order_id,
                one.broker_order_id,
                one.account,
                one.venue,
            )
            for one in self.executions or ()
            if one.has_id
        ]
        _refuse_repeats("statement.executions", "execution", keys)
        late = next((one for one in self.executions or () if one.time > self.as_of), None)
        if late is not None:
            raise DomainError(
                "statement.executions",
                f"execution {late.execution_id} in {late.symbol} is of {late.time}, after {self.as_of}, the time of the "
                "statement",
            )
        return self

    @property
    def executions_since(self) -> datetime | None:
        """From when its executions are complete; None if it has none and does not say."""
        if self.since is not None:
            return self.since
        return min((one.time for one in self.executions or ()), default=None)

    @classmethod
    def from_csv(
        cls,
        source: str | Path,
        *,
        as_of: datetime | None = None,
        portfolio_id: UUID | None = None,
        account: str | None = None,
        since: datetime | None = None,
        sections: Collection[Section] = (),
    ) -> Statement:
        """Read a statement from a file of comma-separated values, or from its text.

        The first line names the columns, in any order. Each other line is of one `kind`, and has the columns of that kind;
        an empty value says nothing:

        - `statement`: `time` (as_of), `since`, `portfolio_id`, `account`; at most one such line, and the arguments
          replace its values.
        - `position`: `symbol`, `quantity`; `price`, `cost`, `currency`.
        - `cash`: `amount`; `currency`.
        - `execution`: `symbol`, `side`, `quantity`, `price`, `time`; `execution_id`, `commission`,
          `commission_currency`, `order_id`, `client_order_id`, `broker_order_id`, `account`, `venue`.

        Several lines of one position are added up. A time is in ISO 8601; one without an offset is local time.

        Args:
            source: The path of the file, in UTF-8; or the text, which has a line break.
            as_of: The time of the statement.
            portfolio_id: The portfolio in the store.
            account: The account.
            since: The time from which its executions are complete.
            sections: The parts that it has although no line is of them: `{"positions"}` says that nothing is open.

        Raises:
            ConfigurationError: The file cannot be read; a column is missing or unknown; or a value is wrong: the
                message names row, line and column.
            DomainError: The values do not agree: see `Statement`.
        """
        return cls(
            **statement_values(
                read_csv(source),
                as_of=as_of,
                portfolio_id=portfolio_id,
                account=account,
                since=since,
                sections=sections,
            )
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        as_of: datetime | None = None,
        portfolio_id: UUID | None = None,
        account: str | None = None,
        since: datetime | None = None,
        sections: Collection[Section] = (),
    ) -> Statement:
        """Read a statement from a `pandas.DataFrame`, a `polars.DataFrame`, a `pyarrow.Table` or a list of dicts.

        Columns and kinds are those of `from_csv`; a missing value (None, NaN, NaT) says nothing. A float is taken as the
        shortest decimal that it prints: 0.1 is Decimal("0.1").

        Args:
            frame: The frame.
            as_of: The time of the statement.
            portfolio_id: The portfolio in the store.
            account: The account.
            since: The time from which its executions are complete.
            sections: The parts that it has although no row is of them.

        Raises:
            ConfigurationError: It is no frame; a column is missing or unknown; or a value is wrong: the message names row
                and column.
            DomainError: The values do not agree: see `Statement`.
        """
        return cls(
            **statement_values(
                read_frame(frame),
                as_of=as_of,
                portfolio_id=portfolio_id,
                account=account,
                since=since,
                sections=sections,
            )
        )


def _refuse_repeats(rule: str, what: str, keys: Iterable[Any]) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            told = key[0] if isinstance(key, tuple) else key
            raise DomainError(rule, f"the {what} {told} is on the statement twice")
        seen.add(key)
