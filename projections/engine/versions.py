"""The version of a projection's code that built its table."""

from __future__ import annotations

from typing import Any

from eventstore.database.protocols import Connection
from eventstore.errors import ProjectionVersionError
from eventstore.sql import load
from projections.projection import Projection


async def require_version(connection: Connection, projection: Projection[Any]) -> int:
    """Check that the table has the code's version; it stays so in an open transaction that has locked the partitions.

    Returns:
        The position after which deliveries are counted.

    Raises:
        ProjectionVersionError: Another version has built the table.
    """
    row = await connection.fetchrow(load("projections/read_version", connection), projection.name)
    if row is None:
        return 0
    if row["version"] != projection.version:
        raise version_differs(projection, row["version"])
    return int(row["counted_after"])


def version_differs(projection: Projection[Any], built: int) -> ProjectionVersionError:
    """Return the error for a table that another version has built."""
    if built > projection.version:
        advice = "end this process and start it with the newer code"
    else:
        advice = f"run `eventstore rebuild {projection.name}` with this code; until then the older code may continue"
    return ProjectionVersionError(
        f"the table of projection {projection.name} was built by version {built}, this code has version "
        f"{projection.version}: {advice}"
    )
