"""The layers: what each room of the library may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore import __all__ as public_names
from tools.lint import findings as files

_LOADED = "import sys, {module}; print(*sorted(name for name in sys.modules if name.startswith(('eventstore', 'projections'))))"


def loaded_with(module: str) -> set[str]:
    """The library's modules that a new process has after one import."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(module=module)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["eventstore", "eventstore.core", "eventstore.database", "eventstore.log"])
def test_the_kernel_and_the_log_load_no_trading_model(module: str):
    """Whoever uses them for another domain has none of orders, positions and portfolios, and no projection."""
    loaded = loaded_with(module)
    assert module in loaded
    assert not {
        name
        for name in loaded
        if name.startswith(("eventstore.domain", "eventstore.repositories", "projections"))
    }


def test_the_kernel_loads_neither_the_log_nor_the_database():
    """Events and entities are pure: no input, no output."""
    loaded = loaded_with("eventstore.core")
    assert not {
        name
        for name in loaded
        if name.startswith(("eventstore.database", "eventstore.log", "eventstore.sql"))
    }


def test_a_name_of_the_top_brings_the_events_of_the_trading_model():
    """A program that only reads knows the library's own events, whichever name it begins with."""
    code = "import eventstore; eventstore.EventLog; from eventstore.core.registry import registry; print(len(list(registry)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20


def test_each_public_name_is_there():
    """Names are imported when they are asked for; each of them can be."""
    import eventstore

    for name in public_names:
        assert getattr(eventstore, name) is not None
    assert set(public_names) <= set(dir(eventstore))
    with pytest.raises(AttributeError, match="no attribute 'Ordre'"):
        _ = eventstore.Ordre


def test_there_is_no_circle_of_imports():
    """Each module can be the first that a program imports: none needs itself, through whichever packages."""
    needs = {
        files.module_name(path): _imports(path) for path in files.python_files("eventstore", "projections")
    }

    def through(module: str, seen: tuple[str, ...]) -> tuple[str, ...] | None:
        if module in seen:
            return (*seen[seen.index(module) :], module)
        if module in done:
            return None
        for needed in needs[module]:
            # A package is imported before its modules; what it needs of them is no circle.
            if (
                needed in needs
                and not f"{module}.".startswith(f"{needed}.")
                and (circle := through(needed, (*seen, module)))
            ):
                return circle
        done.add(module)
        return None

    done: set[str] = set()
    assert {circle for module in needs if (circle := through(module, ()))} == set()


def _imports(path: Path) -> set[str]:
    """The modules and packages that a module imports, at its top or later.

    What a `__getattr__` of a module imports is left out: it gives a name to whoever asks the package for it, and no module of
    the package needs it.
    """
    found: set[str] = set()
    for node in _nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found |= {".".join(parts[: length + 1]) for length in range(len(parts))}
    return found


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        is_for_checkers = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not is_for_checkers and not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__"):
            yield node
            yield from _nodes(node)
