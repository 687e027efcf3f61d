"""`completion`: the script with which a shell completes commands and options; typer writes and answers it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

from eventstore.cli.output import say_lines

PROGRAM = "eventstore"
"""The name of the command."""

VARIABLE = f"_{PROGRAM.upper()}_COMPLETE"
"""The environment variable with which the script asks this program for completions."""


class Shell(StrEnum):
    """The shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print a script that makes a shell complete commands and options; the shell reads it at its start."""
    prepare_to_answer()
    say_lines(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value))


def prepare_to_answer() -> None:
    """Let typer answer the script of a shell, which sets the variable and runs the command."""
    completion_init()
