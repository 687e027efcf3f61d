"""Rows as lines of COPY's text format."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.mapping.copied_text import CopiedText

ID = UUID("018d9bff-0000-7000-8000-000000000001")


def line(kind: str, value: object) -> str:
    """One column's value as a line, without its end."""
    return CopiedText([kind]).line([value]).removesuffix("\n")


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("text", "plain", "plain"),
        ("text", "", ""),
        ("text", None, r"\N"),
        ("text", r"\N", r"\\N"),
        ("text", "a\tb\nc\rd\\e", r"a\tb\nc\rd\\e"),
        ("numeric", Decimal("1.50"), "1.50"),
        ("numeric", Decimal("1E+3"), "1E+3"),
        ("uuid", ID, str(ID)),
        ("bigint", -5, "-5"),
        ("boolean", True, "t"),
        ("boolean", False, "f"),
        ("date", date(2024, 2, 29), "2024-02-29"),
        ("date", date.max, "infinity"),
        ("timestamptz", datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2024-01-02T03:04:05.000006+00:00"),
        (
            "timestamptz",
            datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            "2024-01-01T22:00:00+00:00",
        ),
        ("timestamptz", datetime.min, "-infinity"),
    ],
)
def test_a_value_is_the_text_that_its_type_reads(kind: str, value: object, text: str):
    """None becomes NULL, and no text is read as NULL; a time is written in UTC."""
    assert line(kind, value) == text


def test_a_naive_time_is_local():
    """As the driver has it, whatever time zone the server's session has."""
    when = datetime(2024, 7, 1, 12)
    assert line("timestamptz", when) == when.astimezone(UTC).isoformat()


def test_only_what_needs_it_is_escaped():
    """A row with a NULL beside a backslash has one of each, and the marks stay as they are."""
    assert CopiedText(["text", "text", "bigint"]).line([None, "a\\b", 7]) == "\\N\ta\\\\b\t7\n"
