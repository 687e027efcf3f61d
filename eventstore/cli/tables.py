"""`table`: prints the statement that creates the table of a user's projection."""

from __future__ import annotations

from typing import Annotated

import typer

from eventstore.cli.modules import Modules, import_modules, projection_named
from eventstore.cli.output import say_lines


def table(
    projection: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The projection, by its name or as MODULE:CLASS, such as shop.turnover:Turnover.",
        ),
    ],
    module: Modules = None,
) -> None:
    """Print the CREATE TABLE for a projection's rows and key, for your migration; it uses no database."""
    import_modules(module)
    say_lines(f"{projection_named(projection).table.create()};")
