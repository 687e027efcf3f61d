"""The checks of Python source, as functions of its text, so that a test can show that each rule can fail."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

SLEEP_S_MAX = 0.5

# Modules that a pure domain must not import: input and output, tasks, the database, and our modules that use it.
IMPURE = (
    "asyncio",
    "asyncpg",
    "concurrent",
    "http",
    "os",
    "pathlib",
    "random",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "eventstore.database",
    "eventstore.log",
    "eventstore.repositories",
    "eventstore.sql",
    "eventstore.store",
    "projections",
)
_SQL = re.compile(
    r"\bSELECT\s.+\sFROM\b|\bINSERT\s+INTO\b|\bUPDATE\s+\w+\s+SET\b|\bDELETE\s+FROM\b|\bCREATE\s+TABLE\b",
    re.DOTALL,
)
_WRITERS = {"print", "echo", "secho", "stdout", "stderr", "__stdout__", "__stderr__", "Console"}
# A folder at the root of a file system.
_MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home|tmp|Users)(?=[/\"'\s]|$)")


def listed_names(source: str) -> list[str] | None:
    """The module's `__all__`; None if it has none, or if it is computed."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            try:
                return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
            except ValueError:
                return None
    return None


def defined_names(source: str) -> set[str]:
    """The public functions, classes and constants that a module itself defines."""
    names = set()
    for node in _top_level(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            # A single capital letter is by convention a type variable, which is not public.
            names |= {t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper() and len(t.id) > 1}
    return {name for name in names if not name.startswith("_")}


def reexported_names(source: str) -> set[str]:
    """The public names that a package's `__init__` imports from its own project."""
    names = set()
    for node in _top_level(ast.parse(source)):
        own = isinstance(node, ast.ImportFrom) and (
            node.level > 0 or (node.module or "").split(".")[0] in ("eventstore", "projections")
        )
        if own and isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


def isort_style(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    """The order in which ruff's RUF022 keeps `__all__`: constants, classes, the rest; numbers by value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return kind, [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def undocumented(module: types.ModuleType, source: str) -> list[str]:
    """The names of a module, and the methods of its classes, that have no leading underscore and no explanation."""
    found = [] if module.__doc__ else [module.__name__]
    for name in getattr(module, "__all__", None) or sorted(defined_names(source)):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            if value.__module__.split(".")[0] not in ("eventstore", "projections"):
                continue
            if not value.__doc__:
                found.append(f"{module.__name__}.{name}")
            if inspect.isclass(value):
                found += [f"{module.__name__}.{name}.{method}" for method in _undocumented_methods(value)]
        elif name in defined_names(source) and not _has_comment(source, name):
            found.append(f"{module.__name__}.{name}")
    return found


def _undocumented_methods(cls: type[Any]) -> Iterator[str]:
    for name, member in vars(cls).items():
        method = isinstance(member, property | classmethod | staticmethod) or inspect.isfunction(member)
        # getdoc: a method that overrides one of an interface takes over its documentation.
        if method and not name.startswith("_") and not inspect.getdoc(getattr(cls, name)):
            yield name


def _has_comment(source: str, name: str) -> bool:
    """Whether a constant has a comment on its line, or a comment or another documented constant above it."""
    lines = source.splitlines()
    for node in _top_level(ast.parse(source)):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            own = lines[node.lineno - 1 : (node.end_lineno or node.lineno) + 1]
            above = lines[: node.lineno - 1]
            while above and re.match(r"[A-Za-z_]+(:.*)? = ", above[-1]):
                above.pop()
            return any("#" in line or line.startswith('"""') for line in own + above[-1:])
    return False


def imported_modules(source: str, module: str) -> set[str]:
    """Every module that a source imports anywhere, relative imports resolved against `module`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def imports_of(source: str, module: str, forbidden: tuple[str, ...]) -> list[str]:
    """Those of a source's imports that are, or lie below, one of the forbidden modules."""
    return sorted(
        name
        for name in imported_modules(source, module)
        if any(name == one or name.startswith(one + ".") for one in forbidden)
    )


def sql_strings(source: str) -> list[int]:
    """The lines of the string literals that hold a SQL statement."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value)
    ]


def machine_paths(text: str) -> list[int]:
    """The lines that name a folder of somebody's machine."""
    return [number for number, line in enumerate(text.splitlines(), 1) if _MACHINE_PATH.search(line)]


def tests_without_claim(source: str) -> list[tuple[int, str]]:
    """The line and the name of each test without a docstring."""
    return [
        (node.lineno, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


def long_sleeps(source: str) -> list[int]:
    """The lines that sleep for a constant time above the limit."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        seconds = node.args[0].value
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "sleep" and isinstance(seconds, int | float) and seconds > SLEEP_S_MAX:
            found.append(node.lineno)
    return found


def swallowed_keywords(source: str) -> list[tuple[int, str]]:
    """The line and the signature of each function that takes any keywords and uses none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.args.kwarg is None:
            continue
        # Pydantic gives this one every keyword of the class statement, and `__init_subclass__` has checked them.
        if node.name == "__pydantic_init_subclass__":
            continue
        name = node.args.kwarg.arg
        if not any(
            isinstance(one, ast.Name) and one.id == name for each in node.body for one in ast.walk(each)
        ):
            found.append((node.lineno, f"{node.name}(**{name})"))
    return found


def terminal_writers(source: str) -> dict[str, int]:
    """The names with which a module could write to a terminal, with the line of their first use."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            names = [name for name in names if name.partition(".")[0] == "rich"]
            line = node.lineno
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names if one.name.partition(".")[0] == "rich"]
            line = node.lineno
        elif isinstance(node, ast.Name | ast.Attribute):
            names = [node.id if isinstance(node, ast.Name) else node.attr]
            names = [name for name in names if name in _WRITERS]
            line = node.lineno
        else:
            continue
        for name in names:
            found.setdefault(name, line)
    return found


def imported_tests(source: str, module: str) -> list[str]:
    """The test modules that a source imports from."""
    return sorted(
        name
        for name in imported_modules(source, module)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_")
    )


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those below an `if` or a `try` too."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try):
            pending += [*node.body, *node.orelse]
