"""The registry of event classes, and of the upcasters that bring old events to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eventstore.errors import ConfigurationError, UnknownEventTypeError

if TYPE_CHECKING:
    from eventstore.core.event import Event
    from eventstore.core.upcasting import Upcaster

SCHEMA_VERSION_MAX = 2**15 - 1
"""The highest schema version of an event: a smallint of PostgreSQL."""


class EventRegistry:
    """The event classes of the process, by category and type, and the upcasters of older versions.

    All packages of a process may use the one that `registry` is; two that define the same type are told so. A package
    may also keep its own (`class Moved(Event, category="robot", registry=mine)`), for a log to read with both:
    `EventRegistry.merged(registry, mine)`.

    Attributes:
        current: The class of each category, type and schema version that needs no upcaster.
        upcasters: What brings events of a category, type and schema version further.
        registered: The classes that are registered now.
    """

    def __init__(self) -> None:
        self.registered: set[type[Event]] = set()
        self.current: dict[tuple[str, str, int], type[Event]] = {}
        self.upcasters: dict[tuple[str, str, int], Upcaster] = {}
        self._classes: dict[tuple[str, str], type[Event]] = {}

    @classmethod
    def merged(cls, *registries: EventRegistry) -> EventRegistry:
        """Return a new registry with all that these have; what they take up later it does not have.

        Raises:
            ConfigurationError: Two of them define the same type, or an upcaster of the same version of it.
        """
        merged = cls()
        for each in registries:
            for event_class in each:
                merged.register(event_class)
            for upcaster in each.upcasters.values():
                merged.register_upcaster(upcaster)
        return merged

    def register(self, event_class: type[Event]) -> None:
        """Add a class; defining the same class again, as a notebook does, replaces it.

        Raises:
            ConfigurationError: Another class has its category and type, or its schema version is none.
        """
        key = (event_class.category, event_class.type)
        known = self._classes.get(key)
        if known is not None and _full_name(known) != _full_name(event_class):
            raise ConfigurationError(
                f"event type {key[0]}/{key[1]} is defined twice, by {_full_name(known)} and "
                f"{_full_name(event_class)}: rename one, or give it type=..."
            )
        if not 1 <= event_class.schema_version <= SCHEMA_VERSION_MAX:
            raise ConfigurationError(
                f"event type {key[0]}/{key[1]} has schema version {event_class.schema_version}: "
                f"it is 1 to {SCHEMA_VERSION_MAX}"
            )
        for part in key:
            _require_storable_name(event_class, part)
        if known is not None:
            self.current.pop((*key, known.schema_version), None)
            self.registered.discard(known)
        self.registered.add(event_class)
        self._classes[key] = event_class
        self.current[*key, event_class.schema_version] = event_class

    def register_upcaster(self, upcaster: Upcaster) -> None:
        """Add an upcaster; defining the same function again, as a notebook does, replaces it.

        Raises:
            ConfigurationError: Another one starts at its category, type and version.
        """
        known = self.upcasters.get(upcaster.key)
        if known is not None and known.name != upcaster.name:
            raise ConfigurationError(
                f"version {upcaster.version} of event type {upcaster.category}/{upcaster.type} has two upcasters, "
                f"{known.name} and {upcaster.name}: remove one"
            )
        self.upcasters[upcaster.key] = upcaster

    def find(self, category: str, type: str) -> type[Event]:
        """Return the class of an event of the log.

        Raises:
            UnknownEventTypeError: No class is registered under that category and type.
        """
        try:
            return self._classes[category, type]
        except KeyError:
            raise UnknownEventTypeError(category, type) from None

    def require_registered(self, event_class: type[Event]) -> None:
        """Check that a reader would find this very class for its events, or an upcaster that takes them.

        Raises:
            ConfigurationError: It would find another class, or none.
        """
        key = (event_class.category, event_class.type, event_class.schema_version)
        if event_class in self.registered or key in self.upcasters:
            return
        name, category, type_ = _full_name(event_class), event_class.category, event_class.type
        if event_class.__pydantic_generic_metadata__["origin"] is not None:
            raise ConfigurationError(
                f"events of {name} are not appended, since a program that only reads has no such class: give it a name, "
                f"`class {event_class.__name__.partition('[')[0]}Of...({event_class.__name__}): ...`"
            )
        if not category:
            raise ConfigurationError(
                f"events of {name} are not appended, since it has no category: "
                f'`class {event_class.__name__}(Event, category="...")`'
            )
        known = self._classes.get((category, type_))
        if known is None:
            raise ConfigurationError(
                f"events of {name} are not appended, since {category}/{type_} is not in the registry that the log is read "
                "with: give the log its registry, EventLog(..., classes=EventRegistry.merged(registry, its registry))"
            )
        if _full_name(known) == name:
            raise ConfigurationError(
                f"{name} was defined again since this event's class was, as a notebook does: make the entity and its "
                "events anew, with the class of today"
            )
        raise ConfigurationError(
            f"events of {name} are not appended, since {category}/{type_} would be read as {_full_name(known)}: "
            "give one of the two classes another type="
        )

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())


def _require_storable_name(event_class: type[Event], name: str) -> None:
    if not name or "\x00" in name or (not name.isascii() and _has_surrogate(name)):
        raise ConfigurationError(
            f"{_full_name(event_class)} has {name!r} for a category or type: it is a text of valid Unicode without NUL, "
            "and not empty"
        )


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _full_name(event_class: type[Event]) -> str:
    return f"{event_class.__module__}.{event_class.__qualname__}"


registry = EventRegistry()
"""The registry that event classes and upcasters enter when they are defined."""
