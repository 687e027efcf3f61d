"""`schema check` and `schema snapshot`: check in CI that old events can still be read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from eventstore.cli.modules import Modules, import_modules
from eventstore.cli.output import say
from eventstore.cli.running import DIFFERENT
from eventstore.core.registry import registry
from eventstore.core.registry_check import registry_problems
from eventstore.core.schema_changes import compare_snapshots
from eventstore.core.schema_snapshot import EventSchema, parse_snapshot, snapshot_of, write_snapshot
from eventstore.errors import ConfigurationError

application = typer.Typer(
    name="schema",
    help="Compare today's event classes with a committed snapshot of their schemas.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
"""The commands `schema ...`."""

_DEFAULT_FILE = Path("event_schemas.json")

File = Annotated[
    Path, typer.Option("--snapshot", metavar="FILE", help="The snapshot file, which you keep with the code.")
]


@application.command()
def check(file: File = _DEFAULT_FILE, module: Modules = None) -> int:
    """Print each change that would break old events and each missing upcaster; the status is then 1."""
    today = _today(module)
    changes = compare_snapshots(_read(file), today, registry)
    problems = registry_problems(registry)
    for change in changes:
        say(str(change))
    for problem in problems:
        say(f"upcasters: {problem}")
    breaking = sum(change.breaks for change in changes)
    broken, harmless = breaking + len(problems), len(changes) - breaking
    note = f", {harmless} harmless: add them with `eventstore schema snapshot --update`" if harmless else ""
    say(f"{_counted(today)} event types: {broken} change(s) would break old events{note}")
    return DIFFERENT if broken else 0


@application.command()
def snapshot(
    file: File = _DEFAULT_FILE,
    module: Modules = None,
    update: Annotated[
        bool, typer.Option("--update", help="Add the changes since the last snapshot.")
    ] = False,
) -> int:
    """Write the schemas of today's event classes to a file.

    It refuses with status 1 if the new file would hide a change that breaks old events.
    """
    today = _today(module)
    if file.exists():
        if not update:
            raise ConfigurationError(f"{file} exists already: give --update to add the changes")

        breaking = [change for change in compare_snapshots(_read(file), today, registry) if change.breaks]
        for change in breaking:
            say(str(change))
        if breaking:
            say(f"{file} was not changed: the new one would hide the changes that break old events")
            return DIFFERENT
    try:
        file.write_bytes(write_snapshot(today))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error
    say(f"{file}: {_counted(today)} event types")
    return 0


def _counted(today: dict[str, EventSchema]) -> int:
    return sum(not each.get("given_up") for each in today.values())


def _today(modules: list[str] | None) -> dict[str, EventSchema]:
    """Return the snapshot of the event classes of the library and of these modules."""
    importlib.import_module("eventstore.store")  # the built-in events
    import_modules(modules)
    return snapshot_of(registry)


def _read(file: Path) -> dict[str, EventSchema]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error.strerror}): create it with `eventstore schema snapshot`"
        ) from error
    return parse_snapshot(content, name=str(file))
