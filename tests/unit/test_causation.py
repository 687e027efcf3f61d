"""The tree of what came from one command, whatever ids its events name."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, strategies as st

from eventstore.core.causation import CausationTree, metadata_of
from eventstore.core.event import Event, RecordedEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class CausedNoted(Event, category="causation"):
    """Something happened."""


def recorded(position: int, cause: int | str | None, *, event_id: int | None = None) -> RecordedEvent:
    """An event whose id is its position, and whose metadata names a cause."""
    named = str(UUID(int=cause)) if isinstance(cause, int) else cause
    return RecordedEvent(
        position,
        UUID(int=1),
        position,
        UUID(int=position if event_id is None else event_id),
        CausedNoted(occurred_at=NOW),
        {} if named is None else {"causation_id": named},
        NOW,
    )


def outline(tree: CausationTree) -> list[tuple[int, int, bool]]:
    """Depth, position and whether it is a root, of each event in the order of the tree."""
    return [(depth, node.event.position, node.is_root) for depth, node in tree]


def test_what_an_event_caused_stands_under_it():
    """In the order of the log, and each cause before what it caused."""
    tree = CausationTree.of(
        "c", [recorded(4, 2), recorded(1, None), recorded(3, 1), recorded(2, 1), recorded(5, 2)]
    )
    assert outline(tree) == [(0, 1, True), (1, 2, False), (2, 4, False), (2, 5, False), (1, 3, False)]
    assert (len(tree), tree.correlation_id, tree.is_complete) == (5, "c", True)


def test_a_cause_that_is_not_there_makes_a_root():
    """A command, an event of another correlation: the id that was named is kept."""
    tree = CausationTree.of("c", [recorded(1, "command 7"), recorded(2, 99), recorded(3, 1)])
    assert outline(tree) == [(0, 1, True), (1, 3, False), (0, 2, True)]
    assert [node.cause_id for node in tree.roots] == ["command 7", str(UUID(int=99))]


def test_circles_are_cut():
    """An event that names itself, or one that comes later, is a root."""
    tree = CausationTree.of("c", [recorded(1, 2), recorded(2, 1), recorded(3, 3)])
    assert outline(tree) == [(0, 1, True), (1, 2, False), (0, 3, True)]


def test_a_long_chain_is_no_trouble():
    """A hundred thousand events, each the cause of the next."""
    tree = CausationTree.of("c", [recorded(n, n - 1) for n in range(1, 100_001)])
    assert [depth for depth, _ in tree] == list(range(100_000))


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 12)), st.integers(1, 12)), max_size=12))
def test_each_event_is_in_the_tree_once(drawn: list[tuple[int | None, int]]):
    """Whatever they name as their cause, and even where two have one id."""
    events = [recorded(n, cause, event_id=event_id) for n, (cause, event_id) in enumerate(drawn, 1)]
    tree = CausationTree.of("c", events)
    assert sorted(node.event.position for _, node in tree) == list(range(1, len(events) + 1))
    for _, node in tree:
        for child in node.caused:
            assert child.cause_id == str(node.event.event_id)
            assert child.event.position > node.event.position
            assert not child.is_root


def test_named_arguments_win_over_metadata():
    """And ids become text; what is not given is not there."""
    assert metadata_of({"actor": "a", "x": 1}, actor="b", causation_id=UUID(int=1)) == {
        "actor": "b",
        "x": 1,
        "causation_id": str(UUID(int=1)),
    }
    assert metadata_of({"x": 1}) == {"x": 1}
