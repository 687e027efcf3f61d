"""`table`: the statement that makes the table of a projection of one's own."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli.output import say_lines
from eventstore.errors import ConfigurationError
from eventstore.installation import hidden_by_us
from projections import Projection

__all__ = ["projection_named", "table"]


def table(
    projection: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The projection, such as shop.turnover:Turnover.")
    ],
) -> None:
    """Print the CREATE TABLE of a projection's rows and key, for a migration; no database is asked."""
    say_lines(f"{projection_named(projection).table.create()};")


def projection_named(path: str) -> Projection[Any]:
    """Return a projection by module and class; the module is looked for in the current folder too.

    Raises:
        ConfigurationError: There is no such module or class, it is no projection, or it needs arguments.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ConfigurationError(f"{path} names no projection: write MODULE:CLASS, as shop.turnover:Turnover")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    told = hidden_by_us(module_name, Path.cwd())
    if told is not None:
        raise ConfigurationError(told)
    try:
        found = getattr(import_module(module_name), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"there is no module {error.name}: run this in the folder that has it"
        ) from error
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name} has no {name}") from error
    if not (isinstance(found, type) and issubclass(found, Projection)):
        raise ConfigurationError(f"{path} is no class of projections: it must be a subclass of Projection")
    try:
        return found()
    except TypeError as error:
        raise ConfigurationError(f"{path} cannot be made without arguments: {error}") from error
