"""A user's own projections and entities: the modules that define them, and how commands find them by the names that they print.

Modules come from `--module`, from the variable EVENTSTORE_MODULES, and from the entry points `eventstore.modules` of installed
packages. Every projection and entity that they define, or import, is known by its name. `MODULE:CLASS` names a projection
without any of these.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, wraps
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer

from eventstore.core.registry import registry
from eventstore.database.access import ConnectionSource
from eventstore.errors import ConfigurationError
from eventstore.installation import hidden_by_us
from eventstore.log.names import no_such_name
from eventstore.printable import text_of_error
from eventstore.replay.history import entity_class_of
from eventstore.replay.pages import fetch
from eventstore.store import built_in_projections
from projections import Projection

VARIABLE = "EVENTSTORE_MODULES"
"""The environment variable that names modules, divided by commas or spaces."""

ENTRY_POINTS = "eventstore.modules"
"""The group of entry points by which an installed package names its modules."""

Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        "--app",
        metavar="MODULE",
        help="Import this module of your own, which defines projections, entities, events and upcasters; may be given again. "
        f"The variable {VARIABLE} names modules too.",
    ),
]
"""The option `--module`, which every command with `--url` has."""

_PATH = re.compile(r"[\w.]+:\w+")

_imported: dict[str, ModuleType] = {}


def with_module_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the option `--module` added, if it has the option `--url`."""
    signature = inspect.signature(command)
    if "url" not in signature.parameters:
        return command

    @wraps(command)
    def with_modules(*args: Any, module: list[str] | None = None, **kwargs: Any) -> Any:
        import_modules(module)
        return command(*args, **kwargs)

    # typer reads the options from the signature and the annotations, which are strings until they are resolved.
    hints = get_type_hints(command, include_extras=True) | {"module": Modules}
    added = inspect.Parameter("module", inspect.Parameter.KEYWORD_ONLY, default=None)
    with_modules.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            each.replace(annotation=hints[each.name]) for each in (*signature.parameters.values(), added)
        ]
    )
    with_modules.__annotations__ = hints
    return with_modules


# ---- modules ---------------------------------------------------------------------------------------------------


def import_modules(names: Iterable[str] | None) -> None:
    """Import modules that were named by an option; they are looked for in the current folder too.

    Raises:
        ConfigurationError: There is no such module, or it cannot be imported.
    """
    for name in names or ():
        _import(name, "--module")


@cache
def load_modules() -> None:
    """Import what the variable names; once in a process.

    Raises:
        ConfigurationError: A module is not there, or cannot be imported.
    """
    for name in re.split(r"[,\s]+", os.environ.get(VARIABLE, "").strip()):
        if name:
            _import(name, VARIABLE)


@cache
def load_entry_points() -> None:
    """Import what installed packages name, too; once in a process.

    Raises:
        ConfigurationError: As `load_modules`.
    """
    load_modules()
    for one in entry_points(group=ENTRY_POINTS):
        _import(one.module, f"the entry point {one.name} of {ENTRY_POINTS}")


def _import(name: str, named_by: str) -> ModuleType:
    told = hidden_by_us(name, Path.cwd())
    if told is not None:
        raise ConfigurationError(told)
    folder = str(Path.cwd())
    if "" not in sys.path and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        _imported[name] = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"there is no module {error.name} ({named_by}): run this in the folder that has it"
            ) from error
        raise ConfigurationError(f"the module {name} ({named_by}) cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigurationError(
            f"the module {name} ({named_by}) cannot be imported: {text_of_error(error)}"
        ) from error
    return _imported[name]


# ---- projections -----------------------------------------------------------------------------------------------


def all_projections() -> list[Projection[Any]]:
    """Return the built-in projections, and those of the modules that were named for this command.

    Raises:
        ConfigurationError: Two of them have one name, or one cannot be made without arguments.
    """
    load_modules()
    return [*built_in_projections(), *map(_made, _own())]


async def kept_projections(
    source: ConnectionSource, given: Sequence[Projection[Any]] = ()
) -> tuple[list[Projection[Any]], list[str]]:
    """Return the built-in projections and those of a user's own that the database keeps; and the names of those without code.

    Args:
        source: Lends a connection.
        given: Some that are returned as they are.

    Raises:
        ConfigurationError: As `all_projections`.
        ConnectionError, TimeoutError: Safe to retry.
    """
    load_entry_points()
    built_in = list(built_in_projections())
    names = {row["projection"] for row in await fetch(source, "projections/list_checkpoints")}
    names -= {one.name for one in (*built_in, *given)}
    own = _own().keys()
    kept = {one.name: one for one in (*built_in, *(_made(name) for name in sorted(names & own)), *given)}
    return list(kept.values()), sorted(names - own)


def projections_named(names: Sequence[str]) -> list[Projection[Any]]:
    """Return the projections of some names, or of MODULE:CLASS, each once.

    Raises:
        ConfigurationError: There is none of a name; those that are close are named.
    """
    chosen: dict[str, Projection[Any]] = {}
    for name in names:
        one = projection_named(name)
        chosen.setdefault(one.name, one)
    return list(chosen.values())


def projection_named(name: str) -> Projection[Any]:
    """Return the projection of a name, or of MODULE:CLASS; that module is looked for in the current folder too.

    Raises:
        ConfigurationError: There is none of the name, or no such module or class; it is no projection; two have the name;
            or it cannot be made without arguments.
    """
    if is_path(name):
        return _at(name)
    for one in built_in_projections():
        if one.name == name:
            return one
    load_entry_points()
    own = _own()
    if name in own:
        return _made(name)
    known = [*(one.name for one in built_in_projections()), *own]
    raise no_such_name(
        "projection", name, known, "(one of your own needs --module MODULE, or is named MODULE:CLASS)"
    )


def known_names() -> set[str]:
    """Return the names of the projections whose code is known, whether they can be made or not."""
    load_entry_points()
    return {one.name for one in built_in_projections()} | _own().keys()


def _own() -> dict[str, list[Any]]:
    """Return the classes, or instances, of the projections of a user's own that are loaded, by their names."""
    built_in = {one.name for one in built_in_projections()}
    found: dict[str, list[Any]] = {}
    made = {id(one): one for module in _imported.values() for one in _instances(module)}
    for one in made.values():
        found.setdefault(one.name, []).append(one)
    classes = {type(one) for one in made.values()}
    for kind in dict.fromkeys(_subclasses(Projection)):
        name = getattr(kind, "name", None)
        if isinstance(name, str) and kind not in classes and not inspect.isabstract(kind):
            found.setdefault(name, []).append(kind)
    return {name: ones for name, ones in found.items() if name not in built_in}


def _instances(module: ModuleType) -> Iterator[Projection[Any]]:
    return (value for value in vars(module).values() if isinstance(value, Projection))


def _subclasses(parent: type[Any]) -> Iterator[type[Any]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def _made(name: str) -> Projection[Any]:
    ones = _own()[name]
    if len(ones) > 1:  # those that say it themselves, not those that inherit it
        ones = [one for one in ones if "name" in vars(one)] or ones
    if len(ones) > 1:
        paths = " and ".join(sorted({_path(one) for one in ones}))
        raise ConfigurationError(f"several projections are called {name}, {paths}: name one as MODULE:CLASS")
    (one,) = ones
    return one if isinstance(one, Projection) else _instance(one, name)


def is_path(name: str) -> bool:
    """Whether a name has the form MODULE:CLASS."""
    return _PATH.fullmatch(name) is not None


def _at(path: str) -> Projection[Any]:
    module_name, _, name = path.partition(":")
    module = _import(module_name, path)
    try:
        found = getattr(module, name)
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name} has no {name}") from error
    if isinstance(found, Projection):
        return found
    if not (isinstance(found, type) and issubclass(found, Projection)):
        raise ConfigurationError(f"{path} is no class of projections: it must be a subclass of Projection")
    return _instance(found, path)


def _instance(one: type[Projection[Any]], named: str) -> Projection[Any]:
    try:
        return one()
    except Exception as error:
        raise ConfigurationError(
            f"{named} cannot be made without arguments: {text_of_error(error)}"
        ) from error


def _path(one: Any) -> str:
    kind = one if isinstance(one, type) else type(one)
    return f"{kind.__module__}:{kind.__qualname__}"


# ---- entities --------------------------------------------------------------------------------------------------


def entity_class_named(category: str) -> type[Any]:
    """Return the class of the entities of a category, one of a user's own included.

    Raises:
        ConfigurationError: There is none; those that are close are named.
    """
    found = entity_class_of(category, registry)
    if found is None:
        load_entry_points()
        found = entity_class_of(category, registry)
    if found is None:
        known = {one.category for one in registry if entity_class_of(one.category, registry)}
        raise no_such_name("entity of category", category, known, "(one of your own needs --module MODULE)")
    return found
