"""The check at start that every old event can be upcast to a class of today."""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.core.registry import EventRegistry, registry
from eventstore.errors import ConfigurationError, UnknownEventTypeError

_Key = tuple[str, str, int]


def require_sound_registry(classes: EventRegistry = registry) -> None:
    """Check that every version of every event type leads to a class.

    Raises:
        ConfigurationError: An upcaster is missing, leads nowhere, never runs, or is part of a
            circle. The message lists all problems.
    """
    problems = registry_problems(classes)
    if problems:
        raise ConfigurationError(f"old events cannot be read: {'; '.join(problems)}")


def registry_problems(classes: EventRegistry = registry) -> list[str]:
    """Return the problems of a registry's classes and upcasters, one line each; empty if none."""
    return [*_missing(classes), *_unused(classes), *_dead_ends(classes), *_circles(classes)]


def _missing(classes: EventRegistry) -> Iterator[str]:
    for event_class in classes:
        category, type_ = event_class.category, event_class.type
        for version in range(1, event_class.schema_version):
            if (category, type_, version) not in classes.upcasters:
                yield (
                    f"{_name(category, type_, version)} has no upcaster, but the class is at version "
                    f'{event_class.schema_version}: register one with @upcaster("{category}", "{type_}", {version})'
                )


def _unused(classes: EventRegistry) -> Iterator[str]:
    for (category, type_, version), upcaster in classes.upcasters.items():
        today = _version_today(classes, category, type_)
        if today is not None and version >= today:
            yield (
                f"{upcaster.name} takes {_name(category, type_, version)}, but the class is at version {today}: "
                f"raise its schema_version to {version + 1}, or remove the class if its type is retired"
            )


def _dead_ends(classes: EventRegistry) -> Iterator[str]:
    for upcaster in classes.upcasters.values():
        for type_, version in upcaster.targets.items():
            target = (upcaster.category, type_, version)
            if target in classes.current or target in classes.upcasters:
                continue
            today = _version_today(classes, upcaster.category, type_)
            has = "there is no such type" if today is None else f"the class is at version {today}"
            yield f"{upcaster.name} leads to {_name(*target)}: {has}, and no upcaster continues from there"


def _circles(classes: EventRegistry) -> Iterator[str]:
    done: set[_Key] = set()
    for start in classes.upcasters:
        path: dict[_Key, None] = {}
        waiting: list[tuple[_Key, bool]] = [(start, False)]
        while waiting:
            key, left = waiting.pop()
            if left:
                del path[key]
                done.add(key)
                continue
            if key in path:
                circle = [*list(path)[list(path).index(key) :], key]
                yield f"upcasters form a circle: {' -> '.join(_name(*each) for each in circle)}"
                continue
            upcaster = classes.upcasters.get(key)
            if key in done or upcaster is None or key in classes.current:
                continue
            path[key] = None
            waiting.append((key, True))
            waiting.extend(((key[0], *target), False) for target in upcaster.targets.items())


def _version_today(classes: EventRegistry, category: str, type: str) -> int | None:
    try:
        return classes.find(category, type).schema_version
    except UnknownEventTypeError:
        return None


def _name(category: str, type: str, version: int) -> str:
    return f"{category}/{type} version {version}"
