"""What is seen of a rebuild while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from eventstore.cli import rebuilding
from projections.rebuild import RebuildProgress
from tests.terminal import Terminal

if TYPE_CHECKING:
    import pytest

STEPS = (
    RebuildProgress("orders", "build", 0, 2_000, 0),
    RebuildProgress("orders", "build", 1_000, 2_000, 900),
    RebuildProgress("orders", "prove", 2_000, 2_000, 1_800),
)


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Each line says what is rebuilt, the stage, the position and the target, the events and their rate."""
    monkeypatch.setattr(rebuilding, "_LINE_EVERY_S", 0.0)
    with rebuilding.show_progress() as told:
        for step in STEPS:
            told(step)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[0] for line in lines] == [
        "orders: build: position 0 of 2,000",
        "orders: build: position 1,000 of 2,000",
        "orders: prove: position 2,000 of 2,000",
    ]
    assert ", 900 events, " in lines[1]
    assert lines[1].endswith(" events/s")
    monkeypatch.setattr(rebuilding, "_LINE_EVERY_S", 3_600.0)
    with rebuilding.show_progress() as told:
        told(STEPS[0])
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch):
    """The bar has the stage, the share that is done, the events and their rate."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with rebuilding.show_progress() as told:
        told(STEPS[0])
        told(STEPS[1])
    shown = screen.getvalue()
    for part in ("orders: build", "50%", "900 events", "events/s"):
        assert part in shown
