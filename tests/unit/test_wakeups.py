"""Whom an append wakes in its own process."""

from __future__ import annotations

from eventstore.log.wakeups import Wakeups


def test_an_append_wakes_the_readers_of_its_categories():
    """One that reads another category sleeps on; one that reads all is woken, and by a wake-up of no category too."""
    wakeups = Wakeups()
    with (
        wakeups.listen(["order"]) as orders,
        wakeups.listen(["position"]) as positions,
        wakeups.listen() as all_of_them,
    ):
        readers = (orders, positions, all_of_them)

        def woken_by(categories: list[str] | None) -> list[bool]:
            for reader in readers:
                reader.begin()
            wakeups.notify(categories)
            return [reader.is_woken for reader in readers]

        for _ in range(2):
            assert woken_by(["order", "order"]) == [True, False, True]
            assert woken_by(["order", "position"]) == [True, True, True]
            assert woken_by(["portfolio"]) == [False, False, True]
            assert woken_by(None) == [True, True, True]


def test_readers_come_and_go_between_two_appends():
    """One that came after an append of its category is woken by the next; one that has left is not."""
    wakeups = Wakeups()
    wakeups.notify(["order"])
    with wakeups.listen(["order"]) as first:
        wakeups.notify(["order"])
        assert first.is_woken
        first.begin()
    with wakeups.listen(["order"]) as second:
        wakeups.notify(["order"])
        assert second.is_woken
        assert not first.is_woken
