"""Times of the command line: what is written, in which zone, and how it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from eventstore.cli.times import time_of
from eventstore.errors import ConfigurationError
from eventstore.time_zones import zone_named

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)  # the day after the clocks of New York went forward


def at_noon(zone: tzinfo) -> datetime:
    """The present time in a zone."""
    return NOON.astimezone(zone)


@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2026-03-02T15:59:59+01:00", UTC, datetime(2026, 3, 2, 14, 59, 59, tzinfo=UTC)),
        ("2026-03-02 15:59:59", UTC, datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC)),
        ("2026-03-02T15:59:59", NEW_YORK, datetime(2026, 3, 2, 20, 59, 59, tzinfo=UTC)),
        ("2026-03-02", NEW_YORK, datetime(2026, 3, 2, 5, tzinfo=UTC)),
        ("2026-03-02T15:59:59Z", NEW_YORK, datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC)),
        ("now", NEW_YORK, NOON),
        (" Now ", UTC, NOON),
        ("today", UTC, datetime(2026, 3, 9, tzinfo=UTC)),
        ("yesterday", UTC, datetime(2026, 3, 8, tzinfo=UTC)),
        # The day on which the clocks go forward begins five hours after UTC, the next one four.
        ("yesterday", NEW_YORK, datetime(2026, 3, 8, 5, tzinfo=UTC)),
        ("today", NEW_YORK, datetime(2026, 3, 9, 4, tzinfo=UTC)),
        ("tomorrow", UTC, datetime(2026, 3, 10, tzinfo=UTC)),
    ],
)
def test_what_is_a_time(text: str, zone: tzinfo, meant: datetime):
    """ISO dates and times and words; without an offset in the zone; a date and a word for a day is where the day begins."""
    assert time_of(text, "--from", zone, now=at_noon) == meant


@pytest.mark.parametrize(
    "text", ["noon", "", "2026-02-30", "2026", "9999-12-31T23:59:59-12:00", "x\x1b[2J", "2026-03-02T25:00"]
)
def test_what_is_none(text: str):
    """The error names the option and says what to write."""
    with pytest.raises(ConfigurationError, match=r"--to .* is not a time: write 2026-03-02"):
        time_of(text, "--to", timezone(timedelta(hours=-12)), now=at_noon)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "x\0y", "America"])
def test_an_unknown_zone(name: str):
    """It is one line that names a zone."""
    with pytest.raises(ConfigurationError, match="there is no time zone"):
        zone_named(name)


def test_utc_needs_no_zone_files():
    """A slim system without time zones has it."""
    assert zone_named("utc") is UTC
