"""`wait_for` while no server answers: it ends about when it was told to, and says that the time has run out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventstore.database import pooled
from eventstore.errors import TimeoutError
from eventstore.loop_stalls import Stopwatch
from eventstore.store import EventStore
from projections.engine import progress
from tests.relayed_connections import connected, relay
from tests.running_workers import place

if TYPE_CHECKING:
    from tests.relay import Relay

__all__ = ["relay"]


@pytest.mark.parametrize("is_refused", [False, True], ids=["cut", "refused"])
async def test_the_reason_is_not_waited_for(relay: Relay, monkeypatch: pytest.MonkeyPatch, is_refused: bool):
    """What delays a projection cannot be read: that takes no statement's time limit, and hides no error."""
    monkeypatch.setattr(pooled, "CLEAN_UP_TIMEOUT_S", 0.2)
    monkeypatch.setattr(progress, "_EXPLAINED_WITHIN_S", 0.5, raising=False)
    async with connected(relay, connect_timeout=4) as connection:
        store = EventStore.of(connection)
        await place(store, 1)
        relay.refuse, relay.silent = is_refused, True
        taken = Stopwatch()
        with pytest.raises(TimeoutError, match=r"position 1 within 0\.3 s \(timeout_s\)"):
            await store.wait_for(1, timeout_s=0.3)
        assert taken.elapsed_s < 3
