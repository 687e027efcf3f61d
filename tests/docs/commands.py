"""The commands that the documentation tells its readers to type: each must be one that exists."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a reader has anyway; their arguments are not ours to check.
# fmt: off
OTHERS = {
    "bash", "cat", "cd", "cp", "createdb", "createuser", "docker", "echo", "export", "git", "grep", "head", "kill",
    "ls", "mkdir", "pg_dump", "pgbouncer", "pre-commit", "psql", "pytest", "python", "python3", "rm", "source", "tail", "with-postgres",
}
# fmt: on

# What the installed script does.
_EVENTSTORE = "import sys; sys.argv[0] = 'eventstore'; from eventstore.cli import main; sys.exit(main())"


def command_lines(code: str) -> list[str]:
    """The commands of a bash block: continued lines joined, comments and prompts left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", code)
    return [
        line.strip().removeprefix("$ ")
        for line in joined.splitlines()
        if line.strip() and line.strip()[0] != "#"
    ]


def complaint(line: str) -> str | None:
    """What is wrong with a command; None: nothing."""
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
    # What looks like a subcommand may be an argument: the longest that has a help of its own counts.
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
def eventstore_help(*subcommands: str) -> str | None:
    """What a command of ours says of itself; None where there is no such command."""
    done = subprocess.run(
        [sys.executable, "-c", _EVENTSTORE, *subcommands, "--help"],
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None
