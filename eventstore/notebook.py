"""HTML for notebooks: tables and texts in which every value is escaped, visible, and not too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from eventstore.printable import printable

CHARACTERS_MAX = 200
"""How much of one value is shown."""

ROWS_MAX = 100
"""How many rows of a table are shown."""


def text(value: Any, *, characters_max: int = CHARACTERS_MAX) -> str:
    """Return a value as HTML: one line of visible characters, cut if it is long; empty for None."""
    if value is None:
        return ""
    whole = str(value)
    cut = f"{whole[:characters_max]}…" if len(whole) > characters_max else whole
    return escape(printable(cut))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, left_out: int = 0) -> str:
    """Return a table.

    Args:
        caption: The line above it.
        columns: The names of the columns.
        rows: The values of each row.
        left_out: How many rows are not among them, for the note below the table.
    """
    head = "".join(f"<th>{text(name)}</th>" for name in columns)
    lines = ("".join(f"<td>{text(value)}</td>" for value in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>… and {left_out:,} more</p>" if left_out else ""
    return f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
