"""What commands print: one module writes, tables are never cut, and text is data."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest

from eventstore.cli.output import TextTable, bars, live, progress, say, say_csv, say_json, show_table, waiting
from tests.terminal import Terminal

MARKUP = "[/x] [bold]b[/bold] [link=http://evil.example]l[/link] [/SETTLEMENT] :warning:"


def table_of(*rows: tuple[str, ...]) -> TextTable:
    """A table of ids, symbols and quantities."""
    table = TextTable(f"Title {MARKUP}", ["id", "symbol"], ["quantity"])
    for row in rows:
        table.add_row(*row)
    return table


WIDE = ("0190d1f2-7c1e-7000-8000-000000000001", "A" * 90, "12345678901234567890.123456789012345678")


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]):
    """Texts to the left, numbers to the right, wide characters counted as two columns."""
    show_table(table_of(("1", "日本", "5"), ("2", "ES", "-10.25")))
    assert capsys.readouterr().out.splitlines()[1:] == [
        " id  symbol  quantity",
        " " + "─" * 20,
        " 1   日本           5",
        " 2   ES        -10.25",
    ]


def test_where_there_is_no_terminal_a_row_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Of any length, whatever the environment says of columns."""
    monkeypatch.setenv("COLUMNS", "20")
    show_table(table_of(WIDE))
    assert capsys.readouterr().out.splitlines()[-1].split() == list(WIDE)


def test_a_terminal_that_is_too_narrow_gets_records(monkeypatch: pytest.MonkeyPatch):
    """One field a line, each whole; a terminal that is wide enough gets the table."""
    lines = {}
    for columns in (60, 200):
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setenv("COLUMNS", str(columns))
        show_table(table_of(WIDE))
        lines[columns] = [line.split() for line in screen.getvalue().splitlines()]
    assert lines[200][-1] == list(WIDE)
    assert lines[60][-4:] == [
        ["─", "1", "of", "1", "─"],
        ["id", WIDE[0]],
        ["symbol", WIDE[1]],
        ["quantity", WIDE[2]],
    ]


def test_markup_is_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """In lines, titles, cells, bars and what is shown live, on a terminal and off it."""
    say(MARKUP)
    show_table(table_of((MARKUP, MARKUP, "1")))
    assert capsys.readouterr().out.count(MARKUP) == 4
    for name, value in (("COLUMNS", "300"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    show_table(table_of((MARKUP, MARKUP, "1")))
    with bars() as shown:
        bar = shown.add(MARKUP, total=10)
        shown.update(bar, completed=5, note=MARKUP)
    assert screen.getvalue().count(MARKUP) >= 5
    screen.truncate(0)
    with live() as show_now:
        show_now([MARKUP, table_of((MARKUP, "x", "1"))])
    assert screen.getvalue().count(MARKUP) >= 3


def test_a_value_is_one_line_whatever_is_in_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Line breaks and control characters are escaped; several texts of a cell are lines on a terminal, else one line."""
    table = TextTable("t\x1b]0;x\x07", ["a", "b"])
    table.add_row("x\n 2  forged", ["first\r", "second\u2028"])
    show_table(table)
    say("one\nline\x9b")
    assert capsys.readouterr().out.split("\n") == [
        r"t\x1b]0;x\x07",
        " a              b",
        " " + "─" * 36,
        r" x\n 2  forged  first\r, second\u2028",
        r"one\nline\x9b",
        "",
    ]
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    show_table(table)
    assert screen.getvalue().split("\n")[-3:-1] == [
        r" x\n 2  forged  first\r",
        r"                second\u2028",
    ]


def test_an_output_without_unicode_gets_escapes(monkeypatch: pytest.MonkeyPatch):
    """Those of JSON in JSON, which stays exact, and those of Python elsewhere."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("日本")
    say_json(json.dumps({"é": "日本😀"}, ensure_ascii=False))
    lines = raw.getvalue().decode().splitlines()
    assert lines[0] == r"\u65e5\u672c"
    assert json.loads(lines[1]) == {"é": "日本😀"}


def test_a_bar_is_on_a_terminal_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """A pipe gets nothing of it; a terminal sees how far it is."""
    with progress(MARKUP) as show:
        show(1, 4)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with progress(MARKUP) as show:
        show(1, 4)
    assert MARKUP in screen.getvalue()
    assert "25%" in screen.getvalue()


def test_a_bar_moves_while_something_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """On a terminal, after a second; what is over sooner shows none, and a pipe gets nothing."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with waiting(MARKUP):
        pass
    assert capsys.readouterr().out == ""
    for patience_s, is_shown in ((60.0, False), (0.0, True)):
        monkeypatch.setattr("eventstore.cli.output._PATIENCE_S", patience_s)
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        with waiting(MARKUP):
            deadline = time.monotonic() + 10
            while is_shown and MARKUP not in screen.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert (MARKUP in screen.getvalue()) is is_shown


def test_a_column_is_aligned_as_it_is_asked_for(capsys: pytest.CaptureFixture[str]):
    """Numbers may stand between texts."""
    table = TextTable("", ["n", "symbol", "price"], aligned_right=[True, False, True])
    table.add_row("1", "ES", "9")
    table.add_row("10", "NQZ", "12.5")
    show_table(table)
    assert capsys.readouterr().out.splitlines()[2:] == ["  1  ES          9", " 10  NQZ      12.5"]


def test_csv_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """A pipe gets it exactly; a terminal one line a row, with every character visible."""
    text = 'a,b\n"x\ny\x1b","1"\n'
    say_csv(text)
    assert capsys.readouterr().out == text
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    say_csv(text)
    assert screen.getvalue() == "a,b\nx\\ny\\x1b,1\n"


def test_reading_a_file_moves_a_bar(monkeypatch: pytest.MonkeyPatch):
    """The bytes that were read, of all of them; the file reads the same."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with bars() as shown:
        file = shown.reading(io.BytesIO(b"one\ntwo\n"), MARKUP, total=8)
        assert [file.readline(), file.readline(), file.readline()] == [b"one\n", b"two\n", b""]
    assert MARKUP in screen.getvalue()
    assert "100%" in screen.getvalue()
