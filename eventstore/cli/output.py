r"""Everything that a command prints. No other module of the command line writes or uses rich; `make lint` checks this.

Printed values come from outside: from the log, from a catalogue, from the user. So each text passes
through `printable`: markup is not interpreted, no control character reaches a terminal, and a line
stays one line. JSON stays exact: invisible characters are escaped as in JSON.

A table is never cut off. On a terminal that is too narrow, each row becomes a record with one field
per line. If standard output is not a terminal, each row is one line of any length, so that other
programs can search it.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from threading import Timer
from typing import BinaryIO, TextIO

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from eventstore.printable import printable, printable_json, traceback_of

Cell = str | Sequence[str]
"""The text of a cell: one line, or several."""

_GAP = "  "
_RULE = "─"
_MARGIN = " "
_BETWEEN = ", "


# ---- lines -----------------------------------------------------------------------------------------------------

_PATIENCE_S = 1.0  # what takes no longer shows no bar


def say(line: str) -> None:
    """Write one line to standard output, whatever the text contains."""
    _write(sys.stdout, printable(line))


def say_lines(text: str) -> None:
    """Write a text with line breaks to standard output, such as an SQL statement."""
    for line in text.split("\n"):
        say(line)


def say_json(text: str) -> None:
    """Write JSON to standard output; escaping does not change its values."""
    _write(sys.stdout, printable_json(text, ascii_only=not _is_unicode(sys.stdout)))


def say_csv(text: str) -> None:
    """Write comma-separated values to standard output: exact, unless it is a terminal, which would obey control characters."""
    if is_terminal():
        shown = io.StringIO()
        rows = ([printable(cell) for cell in row] for row in csv.reader(io.StringIO(text)))
        csv.writer(shown, lineterminator="\n").writerows(rows)
        text = shown.getvalue()
    _write(sys.stdout, text.removesuffix("\n"))


def say_error(line: str) -> None:
    """Write one line to standard error: an error, or a note about the result."""
    _write(sys.stderr, f"eventstore: {printable(line)}")


def say_fault(error: BaseException) -> None:
    """Write the traceback of a bug in this program to standard error."""
    for line in traceback_of(error).rstrip().split("\n"):
        _write(sys.stderr, printable(line))


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:  # a locale without UTF-8
        encoding = stream.encoding or "ascii"
        stream.write(f"{text.encode(encoding, 'backslashreplace').decode(encoding)}\n")
    stream.flush()


# ---- tables ----------------------------------------------------------------------------------------------------


class TextTable:
    """A table with text columns, then number columns, which are aligned to the right.

    Args:
        title: The line above the table; may be empty.
        texts: The names of the text columns.
        numbers: The names of the number columns.
        aligned_right: For each column whether it is aligned to the right; None for the number columns.
    """

    def __init__(
        self,
        title: str,
        texts: Sequence[str],
        numbers: Sequence[str] = (),
        *,
        aligned_right: Sequence[bool] | None = None,
    ) -> None:
        self.title = printable(title)
        self._names = [printable(name) for name in (*texts, *numbers)]
        self._aligned_right = (
            [place >= len(texts) for place in range(len(self._names))]
            if aligned_right is None
            else list(aligned_right)
        )
        self._rows: list[list[list[str]] | None] = []

    def add_row(self, *cells: Cell) -> None:
        """Add a row.

        Args:
            cells: For each column a text, or several texts, which are shown below each other. Each text
                is one line, whatever it contains.
        """
        if len(cells) != len(self._names):
            raise TypeError(f"the table has {len(self._names)} columns, not {len(cells)}")
        self._rows.append(
            [[printable(cell)] if isinstance(cell, str) else list(map(printable, cell)) for cell in cells]
        )

    def add_rule(self) -> None:
        """Add a rule between rows, such as above a sum."""
        self._rows.append(None)

    def lines(self, width: int | None) -> list[str]:
        """Return the lines below the title.

        Args:
            width: The largest width, in characters; a wider table is shown as records. With None, each
                row is one line of any length, and the texts of a cell follow one another.
        """
        all_rows = self._rows
        if width is None:
            all_rows = [row and [[_BETWEEN.join(cell)] for cell in row] for row in all_rows]
        rows = [row for row in all_rows if row is not None]
        widths = [
            max(cell_len(line) for lines in ([name], *(row[place] for row in rows)) for line in (*lines, ""))
            for place, name in enumerate(self._names)
        ]
        total = sum(widths) + len(_GAP) * (len(widths) - 1) + 2 * len(_MARGIN)
        if width is not None and total > width and rows:
            return self._records(rows)
        rule = f"{_MARGIN}{_RULE * (total - 2 * len(_MARGIN))}"
        lines = [self._line(self._names, widths), rule]
        for row in all_rows:
            if row is None:
                lines.append(rule)
                continue
            lines += [self._line(cells, widths) for cells in zip_longest(*row, fillvalue="")] or [""]
        return lines

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = []
        for cell, width, is_right in zip(cells, widths, self._aligned_right, strict=True):
            blanks = " " * (width - cell_len(cell))
            padded.append(f"{blanks}{cell}" if is_right else f"{cell}{blanks}")
        return f"{_MARGIN}{_GAP.join(padded)}".rstrip()

    def _records(self, rows: Sequence[list[list[str]]]) -> list[str]:
        margin = max(map(cell_len, self._names))
        lines: list[str] = []
        for number, row in enumerate(rows, start=1):
            lines.append(f"{_MARGIN}{_RULE} {number} of {len(rows)} {_RULE}")
            for name, cell in zip(self._names, row, strict=True):
                label = f"{name}{' ' * (margin - cell_len(name))}"
                for line in cell:
                    lines.append(f"{_MARGIN}{label}{_GAP}{line}".rstrip())
                    label = " " * margin
        return lines


def show_table(table: TextTable) -> None:
    """Write a table to standard output."""
    width = shutil.get_terminal_size().columns if is_terminal() else None
    if table.title:
        _emphasize(table.title)
    for line in table.lines(width):
        say(line)


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _emphasize(line: str) -> None:
    if is_terminal():
        _console().print(Text(line, style="bold"), soft_wrap=True)
    else:
        say(line)


# ---- live output -----------------------------------------------------------------------------------------------


class _Column(ProgressColumn):
    """The text of a bar, without markup."""

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(printable(self._text(task)))


class Bars:
    """Progress bars; they show nothing if standard output is not a terminal.

    Attributes:
        are_shown: Whether standard output is a terminal.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.are_shown = not progress.disable

    def add(self, description: str, *, total: float | None) -> int:
        """Add a bar, and return its number; without a total it only moves."""
        return self._progress.add_task(description, total=total, note="")

    def update(
        self,
        bar: int,
        *,
        description: str | None = None,
        total: float | None = None,
        completed: float,
        note: str = "",
    ) -> None:
        """Show new progress; an argument that is None keeps its value."""
        self._progress.update(
            TaskID(bar), description=description, total=total, completed=completed, note=note
        )

    def reading(self, file: BinaryIO, description: str, *, total: int) -> BinaryIO:
        """Return a file whose reading a new bar shows; the total is in bytes."""
        return self._progress.wrap_file(file, total, description=description)

    def remove(self, bar: int) -> None:
        """Remove a bar."""
        self._progress.remove_task(TaskID(bar))


@contextmanager
def bars(*, transient: bool = False, elapsed: bool = False) -> Iterator[Bars]:
    """Show bars for a block.

    Args:
        transient: Whether the bars disappear at the end of the block.
        elapsed: Show the elapsed time instead of the remaining time.
    """
    columns = (
        _Column(lambda task: task.description),
        BarColumn(),
        TaskProgressColumn(),
        _Column(lambda task: str(task.fields.get("note", ""))),
        TimeElapsedColumn() if elapsed else TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=_console(), disable=not is_terminal(), transient=transient)
    with progress:
        yield Bars(progress)


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show one bar for a block; yield the function that takes what is done and what there is to do."""
    with bars(transient=True) as shown:
        number = shown.add(description, total=None)
        yield lambda done, all_of_it: shown.update(number, completed=done, total=max(all_of_it, 1))


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show a moving bar while a block runs that takes longer than a second; it disappears at the end of the block."""
    if not is_terminal():
        yield
        return
    columns = (_Column(lambda task: task.description), BarColumn(), TimeElapsedColumn())
    shown = Progress(*columns, console=_console(), transient=True)
    shown.add_task(description, total=None)
    # In a separate thread, because a fold may keep the event loop busy.
    timer = Timer(_PATIENCE_S, shown.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        shown.stop()


@contextmanager
def live() -> Iterator[Callable[[Iterable[str | TextTable]], None]]:
    """Yield a function that shows lines and tables on a terminal; each call replaces those of the last one."""
    with Live(console=_console(), auto_refresh=False) as shown:

        def show_now(parts: Iterable[str | TextTable]) -> None:
            width = shutil.get_terminal_size().columns
            lines: list[Text] = []
            for part in parts:
                if isinstance(part, str):
                    lines.append(Text(printable(part)))
                else:
                    lines.append(Text(part.title, style="bold"))
                    lines += map(Text, part.lines(width))
            shown.update(Group(*lines), refresh=True)

        yield show_now
