"""Run the snippets of one Markdown document, as a program: `python tools/snippets.py FILE`.

The blocks of a document run in order, in one namespace and in a separate process, so a document does not
affect the next one. `DATABASE_URL` and the working folder come from the caller.

The language of a block, and the comments directly above it, decide what happens with it:

    ```python                                        runs; `await` works at the top level
    ```bash                                          each command is known (see tools/lint)
    <!-- run --> above ```bash                       runs, with the scripts of this Python on the PATH
    <!-- output --> above ```text                    is the output of the previous block; `...` matches any text
    <!-- raises: ValueError --> above ```python      must end with this exception
    <!-- not executed: REASON -->                    is skipped
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import os
import re
import subprocess
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 120
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[^`]*)$")
_MARKER = re.compile(r"<!--\s*(?P<kind>not executed|output|raises|run)\s*(?::\s*(?P<value>.*?))?\s*-->")


class SnippetError(Exception):
    """A snippet that does not behave as its document says."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    code: str
    line: int
    """The line of its first line of code in the document, from 1."""
    markers: dict[str, str]


def blocks(text: str) -> list[Block]:
    """Every fenced block of a document, in order.

    Raises:
        SnippetError: A fence is not closed.
    """
    found: list[Block] = []
    markers: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence:
            code: list[str] = []
            for _, inner in lines:
                if re.fullmatch(rf"\s*{fence['fence']}{fence['fence'][0]}*\s*", inner):
                    break
                if inner.strip().startswith(fence["fence"]):
                    raise SnippetError(f"line {number}: this fence is not closed")
                code.append(inner.removeprefix(fence["indent"]))
            else:
                raise SnippetError(f"line {number}: this fence is not closed")
            found.append(Block(fence["language"].strip(), "\n".join(code) + "\n", number + 1, markers))
            markers = {}
        elif marker := _MARKER.search(line):
            markers = markers | {marker["kind"]: marker["value"] or ""}
        elif line.strip():
            markers = {}
    return found


def run(path: Path, *, name: str | None = None) -> int:
    """Run one document's blocks and return how many ran.

    Raises:
        SnippetError: A snippet failed; the message has the line, and the traceback or the difference.
    """
    name = name or path.name
    # The module must be in sys.modules: pydantic and dataclasses look up annotations there.
    main, this = types.ModuleType("__main__"), sys.modules["__main__"]
    main.__file__ = str(path)
    namespace = vars(main)
    printed: str | None = None
    ran = 0
    with contextlib.ExitStack() as stack:
        sys.modules["__main__"] = main
        stack.callback(sys.modules.__setitem__, "__main__", this)
        runner = stack.enter_context(asyncio.Runner())
        for block in blocks(path.read_text()):
            where = f"{name}, line {block.line}"
            if "not executed" in block.markers:
                continue
            if block.language == "python":
                printed = _run_python(block, path, namespace, runner, where)
                ran += 1
            elif block.language == "bash" and "run" in block.markers:
                printed = _run_bash(block, where)
                ran += 1
            elif "output" in block.markers:
                if printed is None:
                    raise SnippetError(
                        f"{where}: no block ran before this output: put it after one that runs"
                    )
                _compare(printed, block.code, where)
    return ran


def _run_python(
    block: Block, path: Path, namespace: dict[str, Any], runner: asyncio.Runner, where: str
) -> str:
    expected = block.markers.get("raises")
    printed = io.StringIO()
    try:
        # Empty lines before the code: a traceback shows the document's own lines.
        code = compile(
            "\n" * (block.line - 1) + block.code,
            str(path),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        with contextlib.redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, namespace))
            else:  # outside the loop, so that a snippet may call asyncio.run itself
                exec(code, namespace)
    except BaseException as error:  # noqa: BLE001 - a snippet may end in any way
        if expected and expected in (cls.__name__ for cls in type(error).__mro__):
            return printed.getvalue()
        raise SnippetError(
            f"{where}:\n{traceback.format_exc()}\nprinted before:\n{printed.getvalue()}"
        ) from None
    if expected:
        raise SnippetError(f"{where}: it should have raised {expected}, and did not")
    return printed.getvalue()


def _run_bash(block: Block, where: str) -> str:
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        env=os.environ | {"PATH": scripts + os.pathsep + os.environ.get("PATH", ""), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise SnippetError(f"{where}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _compare(printed: str, shown: str, where: str) -> None:
    checker = doctest.OutputChecker()
    example = doctest.Example("", shown.rstrip() + "\n")
    printed = "\n".join(line.rstrip() for line in printed.rstrip().splitlines()) + "\n"
    if not checker.check_output(example.want, printed, doctest.ELLIPSIS):
        difference = checker.output_difference(example, printed, doctest.ELLIPSIS | doctest.REPORT_NDIFF)
        raise SnippetError(f"{where}: the output differs\n{difference}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{run(Path(sys.argv[1]))} blocks ran\n")
    except SnippetError as failure:
        sys.exit(str(failure))
