"""Rows of any table in the text format that PostgreSQL's documentation of COPY describes.

The driver encodes each value for COPY separately, and takes a microsecond for a number. A text is what the type's own input
function reads, so this works for a column of any type, and no codec of a connection changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson

Text = Callable[[Any], str]

_NULL = "\\N"


class CopiedText:
    """Writes rows as lines.

    Args:
        parameter_types: What the driver would be given for each column: `numeric`, `timestamptz`, `text` and so on.
    """

    def __init__(self, parameter_types: Sequence[str]) -> None:
        self._texts = [(place, _TEXTS[kind]) for place, kind in enumerate(parameter_types) if kind in _TEXTS]
        self._tabs = len(parameter_types) - 1

    def line(self, values: Iterable[Any]) -> str:
        """Return a row as one line, with its end.

        Args:
            values: The driver's value of each column, in order; `RowCodec.encode` has checked their types.
        """
        row = [*values]
        for place, text in self._texts:
            value = row[place]
            if value is not None:
                row[place] = text(value)
        line = "\t".join([_NULL if value is None else value for value in row])
        # Hardly any row has a character to escape, so the line is searched as a whole.
        if (
            line.count("\\") != row.count(None)
            or line.count("\t") != self._tabs
            or "\n" in line
            or "\r" in line
        ):
            line = "\t".join([_NULL if value is None else _escaped(value) for value in row])
        return line + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _flag(value: Any) -> str:
    return "t" if value else "f"


def _time(value: Any) -> str:
    if value.tzinfo is not UTC:
        if value.tzinfo is None and value in _INFINITE:
            return _INFINITE[value]
        value = value.astimezone(UTC)
    if type(value) is not datetime:
        return str(value.isoformat())
    return orjson.dumps(value)[1:-1].decode()  # a sixth of the time of `isoformat`


def _day(value: Any) -> str:
    return _INFINITE.get(value) or str(value.isoformat())


# The driver writes and reads these so.
_INFINITE: dict[date, str] = {
    datetime.max: "infinity",  # noqa: DTZ901 - without a time zone
    datetime.min: "-infinity",  # noqa: DTZ901
    date.max: "infinity",
    date.min: "-infinity",
}

_TEXTS: dict[str, Text] = {
    "numeric": str,
    "uuid": str,
    "bigint": str,
    "boolean": _flag,
    "timestamptz": _time,
    "date": _day,
}
