"""Times as users write and read them on the command line: ISO dates and times, `now`, `today` and `yesterday`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Annotated

import typer

from eventstore.errors import ConfigurationError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAYS: Mapping[str, timedelta] = {
    "yesterday": timedelta(days=-1),
    "today": timedelta(0),
    "tomorrow": timedelta(days=1),
}

Timezone = Annotated[
    str,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="The time zone of the times that you give and that are shown, such as America/New_York.",
    ),
]
"""The option `--timezone`."""


def time_of(
    text: str, option: str, zone: tzinfo, *, now: Callable[[tzinfo], datetime] = datetime.now
) -> datetime:
    """Return the time that a text says; a date, `today` and `yesterday` are the time at which the day begins.

    Args:
        text: What the user wrote.
        option: The option that it was written for, for the error.
        zone: The time zone of a time without an offset.
        now: Returns the present time in a zone.

    Raises:
        ConfigurationError: It is no time, or not one that can be expressed in UTC.
    """
    word = text.strip().lower()
    try:
        if word == "now":
            return now(zone).astimezone(UTC)
        if word in _DAYS:
            found = datetime.combine(now(zone).date() + _DAYS[word], time(), zone)
        else:
            found = datetime.fromisoformat(
                f"{text.strip()}T00:00" if _DATE.fullmatch(text.strip()) else text.strip()
            )
            found = found if found.tzinfo is not None else found.replace(tzinfo=zone)
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{option} {text!r} is not a time: write 2026-03-02, 2026-03-02T15:59:59, 2026-03-02T15:59:59+01:00, now, today or "
            "yesterday"
        ) from error


def shown(when: datetime, zone: tzinfo) -> str:
    """Return a time in a zone, to the second, or to the millisecond if it has a fraction."""
    return (
        when.astimezone(zone)
        .replace(tzinfo=None)
        .isoformat(" ", "milliseconds" if when.microsecond else "seconds")
    )
