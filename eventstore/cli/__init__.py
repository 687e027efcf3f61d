"""The `eventstore` command (extra: `cli`)."""

from __future__ import annotations

import sys

_NEEDED = {"click", "rich", "typer"}


def main() -> None:
    """Run the command line; the entry point `eventstore`. Ends the process with its exit status."""
    try:
        from eventstore.cli.application import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            "eventstore: the command line is not installed: pip install 'trading-eventstore[cli]'\n"
        )
        sys.exit(2)
    sys.exit(run())
