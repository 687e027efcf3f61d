"""The commands in the documentation: each must exist."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from eventstore.cli import main
from tools.lint.findings import ROOT

# Common programs; their arguments are not checked.
# fmt: off
OTHERS = {
    "alembic", "bash", "cat", "cd", "cp", "createdb", "createuser", "docker", "echo", "export", "git", "grep", "head", "jupyter", "kill",
    "ls", "mkdir", "pg_dump", "pgbouncer", "pre-commit", "psql", "pytest", "python", "python3", "rm", "source", "tail", "uv", "uvicorn", "uvx", "with-postgres",
}
# fmt: on


def command_lines(code: str) -> list[str]:
    """The commands of a bash block: continued lines joined, comments and prompts left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", code)
    return [
        line.strip().removeprefix("$ ")
        for line in joined.splitlines()
        if line.strip() and line.strip()[0] != "#"
    ]


def complaint(line: str) -> str | None:
    """What is wrong with a command; None if nothing is wrong."""
    for words in _commands(line):
        said = _complaint(words)
        if said:
            return said
    return None


def _commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without the variables set before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word.strip("();|&"):
            if words or not re.match(r"[A-Za-z_]+=", word):
                words.append(word)
        elif words:
            yield words
            words = []


def _complaint(words: list[str]) -> str | None:
    name = Path(words[0]).name
    if name == "make":
        unknown = [
            word for word in words[1:] if "=" not in word and word[0] != "-" and word not in make_targets()
        ]
        return f"no make target {', '.join(unknown)}" if unknown else None
    if name == "eventstore":
        return _eventstore_complaint(words[1:])
    if name == "pip" and words[1:2] == ["install"]:
        wanted = re.findall(r"trading-eventstore\[([^\]]*)\]", " ".join(words))
        unknown = [
            extra for names in wanted for extra in re.split(r"\s*,\s*", names) if extra not in extras()
        ]
        return f"no extra {', '.join(unknown)}" if unknown else None
    return None if name in OTHERS or name == "pip" else f"unknown command {name}"


def _eventstore_complaint(words: list[str]) -> str | None:
    """Whether the subcommand exists and its help knows each option; the command itself does not run."""
    subcommands: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        subcommands.append(word)
    # A word that looks like a subcommand may be an argument: the longest prefix that has a help text counts.
    text = None
    while text is None:
        text = eventstore_help(*subcommands)
        if text is None and not subcommands:
            return "eventstore --help fails"
        if text is None and len(subcommands) == 1:
            return f"no command eventstore {subcommands[0]}"
        subcommands = subcommands[:-1] if text is None else subcommands
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    unknown = [
        option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text)
    ]
    return f"eventstore {' '.join(subcommands)} has no option {', '.join(unknown)}" if unknown else None


@functools.cache
def make_targets() -> frozenset[str]:
    """The targets of the Makefile."""
    return frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@functools.cache
def extras() -> frozenset[str]:
    """The extras of the distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return frozenset(project["optional-dependencies"])


@functools.cache
def documented_targets() -> frozenset[str]:
    """The targets of the Makefile that `make help` lists."""
    text = (ROOT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z][a-z-]*):.*## ", text, re.MULTILINE))


@functools.cache
def eventstore_help(*subcommands: str) -> str | None:
    """The help text of an `eventstore` command; None if the command does not exist."""
    printed, arguments = io.StringIO(), sys.argv
    plain = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    before = {name: os.environ.get(name) for name in plain}
    os.environ.update(plain)
    sys.argv = ["eventstore", *subcommands, "--help"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            main()
    except SystemExit as end:
        return None if end.code else printed.getvalue()
    finally:
        sys.argv = arguments
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return None
