"""The changes between two snapshots of event schemas, and whether stored events can still be read.

A change breaks old events if the new schema refuses something that the old one allowed, or reads it
as something else. Then the class needs a new `schema_version` and an upcaster to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventstore.core.registry import EventRegistry
from eventstore.core.schema_snapshot import EventSchema

_LOWER = {"minimum": False, "exclusiveMinimum": True}
_UPPER = {"maximum": False, "exclusiveMaximum": True}
_AT_LEAST = ("minLength", "minItems", "minProperties")
_AT_MOST = ("maxLength", "maxItems", "maxProperties", "max_digits", "decimal_places")
_COMPARED = {
    "type", "fields", "items", "prefixItems", "enum", "const", "additionalProperties", "propertyNames",
    *_LOWER, *_UPPER, *_AT_LEAST, *_AT_MOST,
}  # fmt: skip
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change of an event's schema.

    Attributes:
        event: The event type, as `category/Type`.
        breaks: Whether stored events can no longer be read, or would have another meaning.
        text: What changed, and what to do if it breaks old events.
    """

    event: str
    breaks: bool
    text: str

    def __str__(self) -> str:
        return f"{'BREAKS OLD EVENTS' if self.breaks else 'harmless'}: {self.event}: {self.text}"


def compare_snapshots(
    before: Mapping[str, EventSchema], after: Mapping[str, EventSchema], classes: EventRegistry
) -> list[SchemaChange]:
    """Return the changes, type by type.

    Args:
        before: The committed snapshot.
        after: The snapshot of today's classes.
        classes: The registry with today's upcasters.
    """
    changes: list[SchemaChange] = []
    for event in sorted(before.keys() | after.keys()):
        old, new = before.get(event), after.get(event)
        category, _, type_ = event.rpartition("/")
        if old is None:
            changes.append(SchemaChange(event, False, "a new event type"))
            continue
        version = int(old["schema_version"])
        upcaster = f'@upcaster("{category}", "{type_}", {version})'
        has_upcaster = (category, type_, version) in classes.upcasters
        was_given_up = bool(old.get("given_up"))
        if new is None or new.get("given_up"):
            changes += _given_up(event, version, classes, is_new=not was_given_up)
            continue
        now = int(new["schema_version"])
        if now < version:
            text = f"schema_version went down from {version} to {now}: it must never go down"
            changes.append(SchemaChange(event, True, text))
        elif now > version:
            changes.append(
                SchemaChange(event, False, f"now at version {now}; version {version} is upcast")
                if has_upcaster
                else SchemaChange(event, True, f"now at version {now}, but {upcaster} is missing")
            )
        elif was_given_up:
            changes.append(SchemaChange(event, False, "has a class again"))
        else:
            todo = f"; raise schema_version to {version + 1} and register {upcaster}"
            for breaks, text in _fields_changed(old["fields"], new["fields"], ""):
                changes.append(SchemaChange(event, breaks, text + (todo if breaks else "")))
    return changes


def _given_up(event: str, version: int, classes: EventRegistry, *, is_new: bool) -> Iterator[SchemaChange]:
    """Yield the changes of a type without a class.

    Each of its versions is in the log and needs an upcaster.
    """
    category, _, type_ = event.rpartition("/")
    missing = [
        f'@upcaster("{category}", "{type_}", {each})'
        for each in range(1, version + 1)
        if (category, type_, each) not in classes.upcasters
    ]
    if missing:
        text = (
            f"the class was removed, or its module is not imported: keep it, or register {', '.join(missing)}"
        )
        yield SchemaChange(event, True, text)
    elif is_new:
        yield SchemaChange(event, False, f"retired: version {version} is upcast")


def _fields_changed(
    old: Mapping[str, Any], new: Mapping[str, Any], within: str
) -> Iterator[tuple[bool, str]]:
    gone = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    for name in gone:
        like = [other for other in added if new[other]["schema"] == old[name]["schema"]]
        renamed = f" (renamed to {like[0]}?)" if like else ""
        yield True, f"the field {within}{name} was removed{renamed}"
    for name in added:
        if new[name]["required"]:
            yield True, f"the new field {within}{name} is required, but old events do not have it"
        else:
            yield False, f"a new optional field {within}{name}"
    for name in old:
        if name in new:
            yield from _field_changed(f"{within}{name}", old[name], new[name])


def _field_changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    if new["required"] and not old["required"]:
        yield True, f"the field {name} is now required, but old events may lack it"
    elif old["required"] and not new["required"]:
        yield False, f"the field {name} is now optional"
    elif old.get("default", _NOTHING) != new.get("default", _NOTHING):
        yield (
            True,
            (
                f"the default of {name} was {old.get('default')!r} and is {new.get('default')!r}: old events without it "
                "would have another meaning"
            ),
        )
    yield from _node_changed(name, old["schema"], new["schema"])


def _node_changed(name: str, old: Any, new: Any) -> Iterator[tuple[bool, str]]:
    if old == new:
        return
    olds, news = _alternatives(old), _alternatives(new)
    pairs = [(one, [other for other in news if _is_of_type(one, other)]) for one in olds]
    for one, candidates in pairs:
        if not candidates:
            yield True, f"{name} may no longer be {_words(one)}: it is {' or '.join(map(_words, news))}"
            continue
        # One alternative that accepts the old values is enough.
        found = [list(_alternative_changed(name, one, other)) for other in candidates]
        best = min(found, key=lambda changes: sum(breaks for breaks, _ in changes))
        yield from best
    for other in news:
        if not any(_is_of_type(one, other) for one in olds):
            yield False, f"{name} may be {_words(other)} now"


def _alternative_changed(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[bool, str]]:
    yield from _bounds_changed(name, old, new)
    yield from _values_changed(name, old, new)
    if "fields" in old or "fields" in new:
        yield from _fields_changed(old.get("fields", {}), new.get("fields", {}), f"{name}.")
    for keyword, within in (("items", f"an item of {name}"), ("additionalProperties", f"a value of {name}")):
        if old.get(keyword) != new.get(keyword):
            yield from _part_changed(within, old.get(keyword, True), new.get(keyword, True))
    if old.get("propertyNames") != new.get("propertyNames"):
        yield from _node_changed(f"a key of {name}", _keys(old), _keys(new))
    if old.get("prefixItems") != new.get("prefixItems"):
        yield True, f"the items of {name} changed"
    # Other keywords, such as a unit, a format or a pattern, may define the meaning of the values.
    for keyword in sorted((old.keys() | new.keys()) - _COMPARED):
        if old.get(keyword) != new.get(keyword):
            if keyword in ("pattern", "format") and keyword not in new:
                yield False, f"{name} no longer needs the {keyword} {old[keyword]!r}"
            else:
                yield True, f"the {keyword} of {name} was {old.get(keyword)!r} and is {new.get(keyword)!r}"


def _part_changed(within: str, old: Any, new: Any) -> Iterator[tuple[bool, str]]:
    if isinstance(old, bool) or isinstance(new, bool):
        # True: anything is allowed; False: nothing.
        yield not (new is True or old is False), f"{within} is of another kind"
    else:
        yield from _node_changed(within, old, new)


def _keys(schema: Mapping[str, Any]) -> Any:
    """Return the schema of a mapping's keys; by default they are text."""
    keys = schema.get("propertyNames", {})
    return keys if isinstance(keys, list) else {"type": "string", **keys}


def _bounds_changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    lower = [_limit(each, _LOWER, 1) for each in (old, new)]
    upper = [_limit(each, _UPPER, -1) for each in (old, new)]
    for what, (before, now), side in (("lower", lower, 1), ("upper", upper, -1)):
        if before != now:
            tightened = now is not None and (before is None or (now > before if side == 1 else now < before))
            yield tightened, f"the {what} bound of {name} was {'tightened' if tightened else 'widened'}"
    for keyword in _AT_LEAST:
        before, now = old.get(keyword, 0), new.get(keyword, 0)
        if before != now:
            yield now > before, f"{keyword} of {name} was {before} and is {now}"
    for keyword in _AT_MOST:
        before, now = old.get(keyword), new.get(keyword)
        if before != now:
            yield (
                now is not None and (before is None or now < before),
                (f"{keyword} of {name} was {before or 'unlimited'} and is {now or 'unlimited'}"),
            )


def _limit(schema: Mapping[str, Any], keywords: Mapping[str, bool], side: int) -> tuple[Decimal, int] | None:
    """Return a bound in a comparable form, in which an exclusive bound is tighter."""
    found = [
        (Decimal(str(schema[keyword])), side * exclusive)
        for keyword, exclusive in keywords.items()
        if keyword in schema
    ]
    if not found:
        return None
    return max(found) if side == 1 else min(found)


def _values_changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    before, now = _values(old), _values(new)
    if before == now:
        return
    if now is not None:
        gone = sorted(str(value) for value in (before or ()) if value not in now)
        if before is None:
            yield True, f"{name} had any value and must now be one of {_listed(now)}"
        elif gone:
            yield True, f"{name} may no longer be {_listed(gone)}"
    added = sorted(str(value) for value in (now or ()) if value not in (before or ()))
    if before is not None and (now is None or added):
        yield False, f"{name} may be {_listed(added) if added else 'anything'} now"


def _values(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    if "const" in schema:
        return (schema["const"],)
    values: Sequence[Any] | None = schema.get("enum")
    return values


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _alternatives(node: Any) -> list[Mapping[str, Any]]:
    if isinstance(node, list):
        return node
    return [node] if isinstance(node, Mapping) else [{}]


def _is_of_type(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    before, now = old.get("type"), new.get("type")
    return now is None or before == now or (before == "integer" and now in ("number", "decimal"))


def _words(node: Mapping[str, Any]) -> str:
    kind = str(node.get("type", "anything"))
    return f"{kind} ({node['format']})" if "format" in node else kind
