"""The answer of a report: rows of exact values, as frames, as a table for the eye, and as text for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from html import escape
from importlib import import_module
from typing import Any, overload

import orjson

from eventstore.errors import ConfigurationError
from eventstore.reports.columns import Column
from eventstore.reports.display import Display
from eventstore.reports.filters import last
from eventstore.reports.frames import arrow_table, to_pandas, to_polars

_HTML_ROWS_MAX = 200


class Report(Sequence[dict[str, Any]]):
    """The rows of a report: a sequence of dicts with exact values.

    Its methods compute at once: a frame of a million rows takes seconds. In a program that has other work meanwhile, call
    them in a thread: `await asyncio.to_thread(report.to_polars)`.

    Attributes:
        name: The name of the report, such as `fills`.
        columns: The columns, in order.
        through: The rows include every event up to this position of the log, as far as the report asks for it.
    """

    __slots__ = ("_display", "_facts", "_values", "columns", "name", "through")

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        values: Iterable[Sequence[Any]],
        *,
        through: int = 0,
        display: Display | None = None,
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.through = through
        self._values = [tuple(one) for one in values]
        self._display = Display() if display is None else display
        # What says how a row's values are rounded, if a selection of columns has left it out.
        self._facts: Sequence[Mapping[str, Any]] | None = None

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._row(one) for one in self._values[index]]
        return self._row(self._values[index])

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._row, self._values)

    def __repr__(self) -> str:
        rows = "1 row" if len(self) == 1 else f"{len(self)} rows"
        return f"<Report {self.name}: {rows}, {len(self.columns)} columns, through position {self.through}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows with exact values: str, Decimal, int, datetime in UTC, timedelta, bool or None; ids as text."""
        return list(self)

    def select(self, *names: str) -> Report:
        """Return the report with some of its columns, in this order.

        Raises:
            ConfigurationError: It has no column of a name.
        """
        places = [self._place(name) for name in names]
        selected = Report(
            self.name,
            [self.columns[place] for place in places],
            ([one[place] for place in places] for one in self._values),
            through=self.through,
            display=self._display,
        )
        selected._facts = self._rounding()
        return selected

    def where(self, keep: Callable[[dict[str, Any]], bool]) -> Report:
        """Return the report with the rows for which a function is true."""
        return self._part([place for place, row in enumerate(self) if keep(row)])

    def ordered(self, key: Callable[[dict[str, Any]], Any]) -> Report:
        """Return the report with its rows in the order of what a function returns."""
        keys = [key(row) for row in self]
        return self._part(sorted(range(len(self)), key=keys.__getitem__))

    def last(self, count: int | None) -> Report:
        """Return the report with so many rows at its end; None for all.

        Raises:
            LimitError: `count` is not a whole number from 1.
        """
        return self._part(last(list(range(len(self))), count))

    def shown(self, *, timezone: tzinfo = UTC) -> list[list[str]]:
        """Return the text of each cell: rounded to the increments of the instrument or to the scale of the currency.

        A text is one line without control characters; it is empty for None. It is not escaped for HTML.

        Args:
            timezone: The time zone of the times.
        """
        return [
            [
                self._display.shown(
                    column, value.astimezone(timezone) if isinstance(value, datetime) else value, facts
                )
                for column, value in zip(self.columns, values, strict=True)
            ]
            for values, facts in zip(self._values, self._rounding(), strict=True)
        ]

    @property
    def table(self) -> Any:
        """The rows as a `pyarrow.Table`: decimals with all digits, times in microseconds and UTC. Extra: `frames`.

        An average has as many digits as a decimal128 holds. The schema's metadata has `eventstore.position`.

        Raises:
            ConfigurationError: pyarrow is not installed, or a value does not fit the widest decimal of Arrow.
        """
        return arrow_table(self.name, self.columns, self._values, {"eventstore.position": str(self.through)})

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame`. Extra: `polars`.

        Raises:
            ConfigurationError: polars or pyarrow is not installed, or a value has more digits than polars keeps.
        """
        return to_polars(self.table)

    def to_pandas(self, *, floats: bool = False) -> Any:
        """Return a `pandas.DataFrame`. Extra: `pandas`.

        Args:
            floats: Whether decimals become floats, which are not exact; otherwise they are objects of `Decimal`.

        Raises:
            ConfigurationError: pandas or pyarrow is not installed, or a value does not fit the widest decimal of Arrow.
        """
        return to_pandas(self.table, floats=floats)

    def to_rich(self, *, title: str | None = None) -> Any:
        """Return a `rich.table.Table` of the texts of `shown`. Extra: `cli`.

        Args:
            title: The line above the table; None for none.

        Raises:
            ConfigurationError: rich is not installed.
        """
        try:
            tables, texts = import_module("rich.table"), import_module("rich.text")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "rich is not installed: pip install 'trading-eventstore[cli]'"
            ) from error
        table = tables.Table(title=None if title is None else texts.Text(title))
        for column in self.columns:
            table.add_column(texts.Text(column.name), justify="right" if column.is_number else "left")
        for cells in self.shown():
            table.add_row(*map(texts.Text, cells))
        return table

    def to_csv(self) -> str:
        """Return comma-separated values: a line of names, then one line for each row, with exact values.

        Times are in ISO 8601, durations in seconds; None is empty.
        """
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows([["" if value is None else _text(value) for value in row] for row in self._values])
        return written.getvalue()

    def to_json(self) -> str:
        """Return a JSON array with one object for each row, each on its own line.

        Decimals are strings, as in the log; times are in ISO 8601, durations in seconds.
        """
        lines = [orjson.dumps({name: _json(value) for name, value in row.items()}).decode() for row in self]
        return "[" + ",".join(f"\n{line}" for line in lines) + "\n]\n"

    def _repr_html_(self) -> str:
        names = "".join(f"<th>{escape(column.name)}</th>" for column in self.columns)
        lines = []
        for cells in self._part(range(min(len(self), _HTML_ROWS_MAX))).shown():
            texts = zip(self.columns, cells, strict=True)
            lines.append("".join(_html_cell(text, is_number=column.is_number) for column, text in texts))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        left = len(self) - len(lines)
        more = f"<p>... and {left} more rows</p>" if left > 0 else ""
        return (
            f"<table><caption>{escape(self.name)}</caption><thead><tr>{names}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}"
        )

    def _part(self, places: Sequence[int]) -> Report:
        """Return the report with the rows at some places."""
        part = Report(
            self.name,
            self.columns,
            [self._values[place] for place in places],
            through=self.through,
            display=self._display,
        )
        if self._facts is not None:
            part._facts = [self._facts[place] for place in places]
        return part

    def _row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {column.name: value for column, value in zip(self.columns, values, strict=True)}

    def _rounding(self) -> Sequence[Mapping[str, Any]]:
        return list(self) if self._facts is None else self._facts

    def _place(self, name: str) -> int:
        names = [column.name for column in self.columns]
        if name not in names:
            raise ConfigurationError(
                f"the report {self.name} has no column {name!r}: it has {', '.join(names)}"
            )
        return names.index(name)


def _text(value: Any) -> str:
    json = _json(value)
    return str(json).lower() if isinstance(json, bool) else str(json)


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def _html_cell(text: str, *, is_number: bool) -> str:
    style = ' style="text-align: right"' if is_number else ""
    return f"<td{style}>{escape(text)}</td>"
