"""Time zones by their names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from eventstore.errors import ConfigurationError


def zone_named(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        ConfigurationError: There is no such zone.
    """
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (AttributeError, TypeError, ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"there is no time zone {name!r}: name one such as America/New_York or Europe/London (a system without time "
            "zones needs the package tzdata)"
        ) from error
