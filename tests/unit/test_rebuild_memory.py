"""What a rebuild has in memory is let go without keeping other tasks waiting."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from projections.rebuild.builder import Build
from tests.loop_turns import turns_during


async def test_rows_are_let_go_in_slices(monkeypatch: pytest.MonkeyPatch):
    """Other tasks take turns while they are freed; then none is left."""
    monkeypatch.setattr("eventstore.time_slices.SLICE_S", 0)
    build = cast("Any", SimpleNamespace(_rows=dict.fromkeys(range(1_000)), forget=lambda: None))
    turns = await turns_during(Build.let_go(build))
    assert not build._rows
    assert turns > 100
