"""The command line with all of its commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Annotated, Any

import typer

import eventstore.read_side  # noqa: F401 - refuses a module of the user's in place of `projections`
from eventstore.cli import (
    causation,
    checking,
    completion,
    database,
    demo,
    evidence,
    projections,
    quarantine,
    reading,
    rebuilding,
    reports,
    schema,
    server,
    snapshots,
    status,
    tables,
    tear_sheets,
    transfer,
    ui,
)
from eventstore.cli.groups import GroupedCommands
from eventstore.cli.modules import with_module_option
from eventstore.cli.output import say
from eventstore.cli.running import exit_status_of
from eventstore.cli.target import with_schema_option

_application = typer.Typer(
    name="eventstore",
    cls=GroupedCommands,
    # typer's own options would write into the files of the user's shell; `completion` only prints.
    add_completion=False,
    # typer's own traceback would show the values of variables, including passwords.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        say(f"trading-eventstore {version_of('trading-eventstore')}")
        raise typer.Exit


@_application.callback()
def _eventstore(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_say_version, help="Print the version of this library."
        ),
    ] = False,
) -> None:
    """An event-sourced persistence store for trading systems, on PostgreSQL."""


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the options that all commands about a database have."""
    return with_module_option(with_schema_option(command))


_COMMANDS: dict[str, tuple[Callable[..., Any] | typer.Typer, ...]] = {
    "Start": (demo.demo, server.url, server.stop, database.migrate),
    "Look": (
        reports.orders,
        reports.fills,
        reports.positions,
        reports.portfolios,
        reports.trades,
        reports.pnl,
        reports.equity,
        tear_sheets.report,
        ui.ui,
        reading.history,
        reading.show,
        reading.tail,
        causation.trace,
        status.status,
    ),
    "Operate": (
        projections.work,
        rebuilding.rebuild,
        quarantine.application,
        snapshots.snapshot,
        checking.repair,
        transfer.export,
        transfer.import_,
        database.grant,
    ),
    "Prove": (checking.check, evidence.seal, evidence.verify, evidence.prove, evidence.check_proof),
    "Develop": (tables.table, schema.application, completion.completion),
}
"""The commands in the groups of the help."""

for _info in quarantine.application.registered_commands:
    if _info.callback is not None:
        _info.callback = _with_options(_info.callback)
for _group, _members in _COMMANDS.items():
    for _member in _members:
        if isinstance(_member, typer.Typer):
            _application.add_typer(_member, rich_help_panel=_group)
        else:
            # A trailing underscore keeps a name from being a keyword of Python.
            _name = _member.__name__.removesuffix("_").replace("_", "-")
            _application.command(_name, rich_help_panel=_group)(_with_options(_member))


def run() -> int:
    """Run the command that the arguments of the process name, and return its exit status."""
    if completion.VARIABLE in os.environ:
        completion.prepare_to_answer()
    arguments = sys.argv[1:] or ["--help"]
    return exit_status_of(
        lambda: _application(arguments, standalone_mode=False, prog_name=completion.PROGRAM)
    )
