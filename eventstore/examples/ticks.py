"""Reads a tape: the trade prints of one instrument from a CSV file.

The columns are `DateTime,Price,Volume`, one line for each print, oldest first. Two prints may be equal in all
three columns, so the row number identifies a print.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from eventstore.errors import ConfigurationError
from eventstore.limits import check_count

COLUMNS = ["DateTime", "Price", "Volume"]
"""The header of the file."""

CHICAGO = "America/Chicago"
"""The time zone of the times: CME's tapes are in the exchange's local time. The packaged tape begins on a
Sunday at 17:00, when the week's trading opens in Chicago."""

TAPE_PACKAGE = "mlfinpy"
"""The distribution that ships a tape."""

TAPE_FILE = "mlfinpy/dataset/data/tick_data.csv"
"""The path of the tape in that distribution."""

TAPE_PRINTS = 500_000
"""The number of its prints."""

INSTALL_TAPE = "pip install --no-deps mlfinpy==0.1.2"
"""The command that installs the packaged tape: 500,000 prints of the E-mini S&P 500 future of September 2013."""


# Stricter than Decimal: no NaN, no exponent, no digits of other scripts. A price may be negative.
_PRICE = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


class Tick(NamedTuple):
    """One print of the tape.

    Attributes:
        row: The row number, from 1.
        at: The time of the trade, in UTC.
        price: The price of one contract, in points.
        volume: The number of traded contracts; at least 1.
    """

    row: int
    at: datetime
    price: Decimal
    volume: int


def packaged_tape() -> Path:
    """Return the file that the package `mlfinpy` ships, without importing the package.

    Raises:
        ConfigurationError: The package is not installed; the message says how to install it.
    """
    missing = ConfigurationError(f"the tape is not installed: {INSTALL_TAPE}")
    try:
        path = Path(str(distribution(TAPE_PACKAGE).locate_file(TAPE_FILE)))
    except PackageNotFoundError:
        raise missing from None
    if not path.is_file():
        raise missing
    return path


def read_ticks(path: Path | str, *, limit: int | None = None, zone: str = CHICAGO) -> list[Tick]:
    """Read a tape, and check every row.

    Args:
        path: The CSV file.
        limit: The most prints to read; None for all.
        zone: The time zone of the times, a name of the IANA database. In the repeated hour in autumn a time
            means the first occurrence.

    Raises:
        ConfigurationError: The file cannot be read, has other columns or no rows, or a row is malformed; the
            message names the file and the row.
    """
    if limit is not None:
        check_count("limit", limit)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            ticks = list(_parse(csv.reader(file), str(path), limit, _zone(zone)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} is not a CSV file in UTF-8: save it as one") from error
    if not ticks:
        raise ConfigurationError(f"{path} has no rows after its header: a tape needs at least one print")
    return ticks


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError as error:
        raise ConfigurationError(f"the time zone {name} is not known here: pip install tzdata") from error


def _parse(lines: Iterator[list[str]], name: str, limit: int | None, zone: ZoneInfo) -> Iterator[Tick]:
    header = next(lines, [])
    if header != COLUMNS:
        raise ConfigurationError(
            f"{name} has the columns {','.join(header)[:100] or '(none)'}: a tape has {','.join(COLUMNS)}"
        )
    prices: dict[str, Decimal] = {}
    offsets: dict[str, timedelta] = {}
    before = datetime.min.replace(tzinfo=UTC)
    for row, line in enumerate(lines, 1):
        if limit is not None and row > limit:
            return
        try:
            when, price, volume = line
            if price not in prices:  # a tape has few different prices and many prints
                prices[price] = _price(price)
            # Offsets change only on the hour, so one look-up is enough for all prints of an hour.
            offset = offsets.get(when[:13])
            if offset is None:
                offset = offsets[when[:13]] = _offset(when, zone)
            at = (_naive(when) - offset).replace(tzinfo=UTC)
            tick = Tick(row, at, prices[price], _whole(volume))
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigurationError(_malformed(name, row, line)) from error
        if at < before:
            raise ConfigurationError(
                f"{name}, row {row}: {when} is before the row above: sort the tape by time, oldest first"
            )
        before = at
        yield tick


def _price(text: str) -> Decimal:
    if not _PRICE.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _whole(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise ValueError(text)
    return number


def _naive(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is not None:
        raise ValueError(text)
    return when


def _offset(when: str, zone: ZoneInfo) -> timedelta:
    offset = datetime.fromisoformat(when).replace(tzinfo=zone).utcoffset()
    if offset is None:
        raise ValueError(when)
    return offset


def _malformed(name: str, row: int, line: list[str]) -> str:
    return (
        f"{name}, row {row} (line {row + 1}): {','.join(line)[:100]!r} is not a print: it should read like "
        "2013-09-01 17:00:00.083,1640.25,8"
    )
