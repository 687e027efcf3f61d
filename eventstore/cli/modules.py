"""The user's modules, and how commands find the projections and entities that they define.

Modules come from `--module`, from the variable EVENTSTORE_MODULES, and from the entry points
`eventstore.modules` of installed packages. Commands know every projection and entity that these
modules define or import by the name that commands print. `MODULE:CLASS` names a projection without
any of these.
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
from eventstore.database.access import ConnectionSource, read_rows
from eventstore.errors import ConfigurationError
from eventstore.installation import hidden_by_us
from eventstore.log.names import no_such_name
from eventstore.printable import text_of_error
from eventstore.replay.history import entity_class_of
from eventstore.store import built_in_projections
from projections import Projection

VARIABLE = "EVENTSTORE_MODULES"
"""The environment variable that names modules, separated by commas or spaces."""

ENTRY_POINTS = "eventstore.modules"
"""The group of entry points with which an installed package names its modules."""

Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        "--app",
        metavar="MODULE",
        help="Import your module, which defines projections, entities, events or upcasters; may be repeated. "
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

    # typer reads the options from the signature and the annotations; unresolved annotations are strings.
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
    """Import modules that an option names, also from the current folder.

    Raises:
        ConfigurationError: A module does not exist, or cannot be imported.
    """
    for name in names or ():
        _import(name, "--module")


@cache
def load_modules() -> None:
    """Import the modules that the environment variable names, once per process.

    Raises:
        ConfigurationError: A module does not exist, or cannot be imported.
    """
    for name in re.split(r"[,\s]+", os.environ.get(VARIABLE, "").strip()):
        if name:
            _import(name, VARIABLE)


@cache
def load_entry_points() -> None:
    """Import also the modules that installed packages name, once per process.

    Raises:
        ConfigurationError: As `load_modules`.
    """
    load_modules()
    for one in entry_points(group=ENTRY_POINTS):
        _import(one.module, f"the entry point {one.name} of {ENTRY_POINTS}")


def _import(name: str, named_by: str) -> ModuleType:
    hidden = hidden_by_us(name, Path.cwd())
    if hidden is not None:
        raise ConfigurationError(hidden)
    folder = str(Path.cwd())
    if "" not in sys.path and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        _imported[name] = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"there is no module {error.name} ({named_by}): run the command in the folder that contains it"
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
        ConfigurationError: Two projections have the same name, or one needs constructor arguments.
    """
    load_modules()
    return [*built_in_projections(), *map(_made, _own())]


async def kept_projections(
    source: ConnectionSource, given: Sequence[Projection[Any]] = ()
) -> tuple[list[Projection[Any]], list[str]]:
    """Return the projections in the database whose code is known, and the names of the others.

    Args:
        source: Lends a connection.
        given: Projections to include in any case.

    Raises:
        ConfigurationError: As `all_projections`.
        ConnectionError, TimeoutError: Safe to retry.
    """
    load_entry_points()
    built_in = list(built_in_projections())
    names = {row["projection"] for row in await read_rows(source, "projections/list_checkpoints")}
    names -= {one.name for one in (*built_in, *given)}
    own = _own().keys()
    kept = {one.name: one for one in (*built_in, *(_made(name) for name in sorted(names & own)), *given)}
    return list(kept.values()), sorted(names - own)


def projections_named(names: Sequence[str]) -> list[Projection[Any]]:
    """Return the projections with these names, or at MODULE:CLASS, each once.

    Raises:
        ConfigurationError: No projection has a name; the message suggests similar names.
    """
    chosen: dict[str, Projection[Any]] = {}
    for name in names:
        one = projection_named(name)
        chosen.setdefault(one.name, one)
    return list(chosen.values())


def projection_named(name: str) -> Projection[Any]:
    """Return the projection with a name, or at MODULE:CLASS; the module may be in the current folder.

    Raises:
        ConfigurationError: The name, module or class does not exist; the object is not a projection;
            two projections have the name; or the class needs constructor arguments.
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
        "projection", name, known, "(for your own projection give --module MODULE, or name it MODULE:CLASS)"
    )


def known_names() -> set[str]:
    """Return the names of all projections whose code is known, even if some need constructor arguments."""
    load_entry_points()
    return {one.name for one in built_in_projections()} | _own().keys()


def _own() -> dict[str, list[Any]]:
    """Return the classes or instances of the user's loaded projections, by name."""
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
    if len(ones) > 1:  # prefer those that define the name to those that inherit it
        ones = [one for one in ones if "name" in vars(one)] or ones
    if len(ones) > 1:
        paths = " and ".join(sorted({_path(one) for one in ones}))
        raise ConfigurationError(f"several projections are called {name}: {paths}; name one as MODULE:CLASS")
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
        raise ConfigurationError(f"{path} is not a projection: it must be a subclass of Projection")
    return _instance(found, path)


def _instance(one: type[Projection[Any]], named: str) -> Projection[Any]:
    try:
        return one()
    except Exception as error:
        raise ConfigurationError(
            f"{named} cannot be created without constructor arguments: {text_of_error(error)}"
        ) from error


def _path(one: Any) -> str:
    kind = one if isinstance(one, type) else type(one)
    return f"{kind.__module__}:{kind.__qualname__}"


# ---- entities --------------------------------------------------------------------------------------------------


def entity_class_named(category: str) -> type[Any]:
    """Return the entity class of a category, also a class of the user.

    Raises:
        ConfigurationError: No class has the category; the message suggests similar categories.
    """
    found = entity_class_of(category, registry)
    if found is None:
        load_entry_points()
        found = entity_class_of(category, registry)
    if found is None:
        known = {one.category for one in registry if entity_class_of(one.category, registry)}
        raise no_such_name(
            "entity of category", category, known, "(for your own entity give --module MODULE)"
        )
    return found
