"""What is wrong with event classes and upcasters is found at start, before an old event is met."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry
from eventstore.core.registry_check import registry_problems, require_sound_registry
from eventstore.core.upcasting import EventContext, upcaster
from eventstore.errors import ConfigurationError, EventDecodingError
from eventstore.log.records import decode
from tests.old_robot_events import NOW, moved_class, split_registry, stored


@pytest.fixture
def mine() -> EventRegistry:
    """An empty registry, so that no test sees what another one registers."""
    return EventRegistry()


def same(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    """An upcaster that changes nothing."""
    return data


def test_missing_steps_are_found_at_start(mine: EventRegistry):
    """All of them, in one error."""
    moved_class(mine, 4)
    upcaster("old robot", "RobotMoved", 2, registry=mine)(same)
    with pytest.raises(ConfigurationError) as caught:
        require_sound_registry(mine)
    assert "old robot/RobotMoved version 1 has no upcaster" in str(caught.value)
    assert "old robot/RobotMoved version 3 has no upcaster" in str(caught.value)
    assert "leads to old robot/RobotMoved version 3: the class is at version 4" in str(caught.value)


def test_an_upcaster_to_nowhere_is_found(mine: EventRegistry):
    """To a type that is not there, and to a version that its class has not."""
    moved_class(mine, 2)
    upcaster("old robot", "RobotMoved", 1, to={"RobotMoved": 3}, registry=mine)(same)
    upcaster("old robot", "RobotWent", 1, to="RobotFlew", registry=mine)(same)
    problems = "\n".join(registry_problems(mine))
    assert "leads to old robot/RobotMoved version 3: the class is at version 2" in problems
    assert "leads to old robot/RobotFlew version 1: there is no such type" in problems


def test_an_upcaster_that_never_runs_is_found(mine: EventRegistry):
    """It takes the version that the class has: someone forgot to raise it."""
    moved_class(mine, 1)
    upcaster("old robot", "RobotMoved", 1, registry=mine)(same)
    assert "takes old robot/RobotMoved version 1, but the class is at version 1" in registry_problems(mine)[0]


def test_a_sound_registry_has_no_problems():
    """Nor has the library's own."""
    assert registry_problems(split_registry()) == []
    assert registry_problems() == []


def test_two_upcasters_of_one_version_are_refused(mine: EventRegistry):
    """Which of them were to run?"""

    def other(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    upcaster("old robot", "RobotMoved", 1, registry=mine)(same)
    upcaster("old robot", "RobotMoved", 1, registry=mine)(same)  # as a notebook does
    with pytest.raises(ConfigurationError, match=r"two upcasters, .*same and .*other"):
        upcaster("old robot", "RobotMoved", 1, registry=mine)(other)
    with pytest.raises(ConfigurationError, match="begin at 1"):
        upcaster("old robot", "RobotMoved", 0, registry=mine)


def test_packages_with_registries_of_their_own_are_merged(mine: EventRegistry):
    """A log may read the events of both; what both define is named."""
    other = EventRegistry()
    moved = moved_class(mine, 2)
    upcaster("old robot", "RobotMoved", 1, registry=other)(same)
    merged = EventRegistry.merged(mine, other)
    assert set(merged) == {moved}
    assert decode(stored("RobotMoved", {"metres": "1"}), classes=merged).event == moved(
        metres=Decimal(1), occurred_at=NOW
    )

    class Clash(Event, category="old robot", type="RobotMoved", registry=other):
        """Another package's."""

    assert list(other) == [Clash]
    with pytest.raises(ConfigurationError, match="old robot/RobotMoved is defined twice"):
        EventRegistry.merged(mine, other)


@pytest.mark.parametrize("version", [0, 2**15])
def test_a_schema_version_fits_its_column(mine: EventRegistry, version: int):
    """It is refused where the class is defined, not at the first append."""
    with pytest.raises(ConfigurationError, match="1 to 32767"):
        moved_class(mine, version)


def test_raising_a_version_replaces_the_class(mine: EventRegistry):
    """As in a notebook: events of the version before then need an upcaster."""
    moved_class(mine, 1)
    moved_class(mine, 2)
    with pytest.raises(EventDecodingError, match="no upcaster from version 1"):
        decode(stored("RobotMoved", {"metres": "1"}), classes=mine)
