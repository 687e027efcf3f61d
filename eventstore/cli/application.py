"""The command line with all of its commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Any

import typer

import eventstore.read_side  # noqa: F401 - refuses a module of the user's in place of `projections`
from eventstore.cli import (
    causation,
    checking,
    database,
    demo,
    evidence,
    past,
    projections,
    quarantine,
    reading,
    rebuilding,
    schema,
    server,
    status,
    tables,
    transfer,
)
from eventstore.cli.modules import with_module_option
from eventstore.cli.output import say
from eventstore.cli.running import exit_status_of
from eventstore.cli.target import with_schema_option

_application = typer.Typer(
    name="eventstore",
    help="An event-sourced persistence store for trading systems, on PostgreSQL.",
    add_completion=False,
    # typer's own traceback would show the values of variables, including passwords.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def version() -> None:
    """Print the version of this library."""
    say(f"trading-eventstore {version_of('trading-eventstore')}")


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the options that all commands about a database have."""
    return with_module_option(with_schema_option(command))


for _command in (
    demo.demo,
    database.migrate,
    status.status,
    projections.work,
    rebuilding.rebuild,
    checking.check,
    checking.repair,
    tables.table,
    database.grant,
    server.url,
    server.stop,
    causation.trace,
    reading.history,
    reading.show,
    reading.tail,
    past.as_of,
    past.snapshot,
    evidence.seal,
    evidence.verify,
    evidence.prove,
    evidence.check_proof,
    transfer.export,
    version,
):
    _application.command()(_with_options(_command))
_application.command("import")(_with_options(transfer.import_))
_application.add_typer(schema.application)
for _info in quarantine.application.registered_commands:
    if _info.callback is not None:
        _info.callback = _with_options(_info.callback)
_application.add_typer(quarantine.application)


def run() -> int:
    """Run the command that the arguments of the process name, and return its exit status."""
    arguments = sys.argv[1:] or ["--help"]
    return exit_status_of(lambda: _application(arguments, standalone_mode=False, prog_name="eventstore"))
