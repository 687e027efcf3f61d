"""The registry of event classes and upcasters."""

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

    All packages of a process may share the default `registry`. If two of them define the same type,
    the second definition raises an error. A package may also keep its own registry (`class
    Moved(Event, category="robot", registry=mine)`). A log reads with both through
    `EventRegistry.merged(registry, mine)`.

    Attributes:
        current: The class of each category, type and schema version that needs no upcaster.
        upcasters: The upcaster of each category, type and schema version that needs one.
        registered: The classes that are registered now.
    """

    def __init__(self) -> None:
        self.registered: set[type[Event]] = set()
        self.current: dict[tuple[str, str, int], type[Event]] = {}
        self.upcasters: dict[tuple[str, str, int], Upcaster] = {}
        self._classes: dict[tuple[str, str], type[Event]] = {}

    @classmethod
    def merged(cls, *registries: EventRegistry) -> EventRegistry:
        """Return a new registry with the classes and upcasters of these registries.

        Later additions to them do not reach the new registry.

        Raises:
            ConfigurationError: Two of them define the same type, or an upcaster for the same
                version of a type.
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
            ConfigurationError: Another class has its category and type, its schema version is out
                of range, or its category or type cannot be stored as text.
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
                f"use a version from 1 to {SCHEMA_VERSION_MAX}"
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
            ConfigurationError: Another upcaster takes the same category, type and version.
        """
        known = self.upcasters.get(upcaster.key)
        if known is not None and known.name != upcaster.name:
            raise ConfigurationError(
                f"version {upcaster.version} of event type {upcaster.category}/{upcaster.type} has two upcasters, "
                f"{known.name} and {upcaster.name}: remove one"
            )
        self.upcasters[upcaster.key] = upcaster

    def find(self, category: str, type: str) -> type[Event]:
        """Return the class of a category and type.

        Raises:
            UnknownEventTypeError: No class is registered under that category and type.
        """
        try:
            return self._classes[category, type]
        except KeyError:
            raise UnknownEventTypeError(category, type) from None

    def has_replaced(self, event_class: type[Event]) -> bool:
        """Whether a class was defined again, as a notebook does, so that its events are read as those of the new one."""
        known = self._classes.get((event_class.category, event_class.type))
        return known is not None and known is not event_class and _full_name(known) == _full_name(event_class)

    def require_registered(self, event_class: type[Event]) -> None:
        """Check that a reader would find this class for its events, or an upcaster that takes them.

        Raises:
            ConfigurationError: A reader would find another class, or none.
        """
        key = (event_class.category, event_class.type, event_class.schema_version)
        if event_class in self.registered or key in self.upcasters:
            return
        name, category, type_ = _full_name(event_class), event_class.category, event_class.type
        if event_class.__pydantic_generic_metadata__["origin"] is not None:
            raise ConfigurationError(
                f"events of {name} cannot be appended, because a program that only reads has no such class: "
                f"declare a subclass, `class {event_class.__name__.partition('[')[0]}Of...({event_class.__name__}): ...`"
            )
        if not category:
            raise ConfigurationError(
                f"events of {name} cannot be appended, because the class has no category: "
                f'declare `class {event_class.__name__}(Event, category="...")`'
            )
        known = self._classes.get((category, type_))
        if known is None:
            raise ConfigurationError(
                f"events of {name} cannot be appended, because {category}/{type_} is not in the registry of the log: "
                "pass the registry of the class, EventLog(..., classes=EventRegistry.merged(registry, its registry))"
            )
        if _full_name(known) == name:
            raise ConfigurationError(
                f"{name} was defined again after this event's class, as happens in a notebook: create the entity and "
                "its events again with the new class"
            )
        raise ConfigurationError(
            f"events of {name} cannot be appended, because {category}/{type_} would be read as {_full_name(known)}: "
            "give one of the two classes another type="
        )

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())


def _require_storable_name(event_class: type[Event], name: str) -> None:
    if not name or "\x00" in name or (not name.isascii() and _has_surrogate(name)):
        raise ConfigurationError(
            f"{_full_name(event_class)} has {name!r} as its category or type: use valid Unicode text without NUL that "
            "is not empty"
        )


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _full_name(event_class: type[Event]) -> str:
    return f"{event_class.__module__}.{event_class.__qualname__}"


registry = EventRegistry()
"""The default registry: event classes and upcasters are added to it when they are defined."""
