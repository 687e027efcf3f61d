"""Rules for Python files: public names, documentation, layers and tests."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from tools.lint import python_source as source_of
from tools.lint.findings import ROOT, Finding, line_of, module_name, python_files, shown
from tools.lint.public_api import PAGE, namespaces

# The composition root, the command that uses it, and what users copy.
MAY_IMPORT_PROJECTIONS = (
    "eventstore.store",
    "eventstore.cli",
    "eventstore.examples",
    "eventstore.testing.given_when_then",
    "eventstore.ui",
)
# The output module of the command line, and its entry point, which reports a missing extra and cannot use that module.
MAY_WRITE = {"eventstore/cli/output.py", "eventstore/cli/__init__.py"}
# Uses other than text: the bytes of an export, the descriptor that `tail` watches, and the closed output of a pipe.
MAY_USE_STDOUT = {
    "eventstore/cli/transfer.py",
    "eventstore/cli/reading.py",
    "eventstore/cli/running.py",
}


def _importable() -> list[Path]:
    """The modules without a leading underscore in any part of their name."""
    files = python_files("eventstore", "projections")
    return [path for path in files if not any(part.startswith("_") for part in module_name(path).split("."))]


def public_namespaces_are_marked() -> Iterator[Finding]:
    """A public namespace lists all its names in `__all__`, sorted; an internal module has no `__all__`."""
    public = namespaces()
    for path in _importable():
        source, where, name = path.read_text(), shown(path), module_name(path)
        listed = source_of.listed_names(source)
        line = line_of(source, "__all__")
        if name not in public:
            if listed is not None:
                page = shown(PAGE)
                yield Finding(
                    where, line, f"is internal and has __all__: remove it, or list {name} in {page}"
                )
            continue
        if listed is None:
            yield Finding(where, 1, "is a public namespace without __all__: list its names, as strings")
            continue
        expected = source_of.defined_names(source)
        if path.name == "__init__.py":
            expected |= source_of.reexported_names(source)
        if listed != sorted(set(listed), key=source_of.isort_style):
            yield Finding(where, line, "__all__ is not sorted, or names something twice: sort it")
        for missing in sorted(expected - set(listed)):
            yield Finding(
                where, line, f"{missing} is not in __all__: list it, or begin its name with an underscore"
            )
        module = importlib.import_module(name)
        for one in listed:
            if not hasattr(module, one):
                yield Finding(where, line, f"__all__ names {one}, which does not exist: remove it")


def public_names_are_documented() -> Iterator[Finding]:
    """Each module, and each name and method of it without a leading underscore, says what it is for."""
    for path in _importable():
        source = path.read_text()
        for name in source_of.undocumented(importlib.import_module(module_name(path)), source):
            last = name.rpartition(".")[2]
            line = max(line_of(source, f" {last}("), line_of(source, f"{last} ="))
            yield Finding(shown(path), line, f"{name} is not documented: say what it is for")


def the_write_side_does_not_import_the_read_side() -> Iterator[Finding]:
    """No module of `eventstore` imports `projections`, except the composition root and its users."""
    for path in python_files("eventstore"):
        name = module_name(path)
        if name.startswith(MAY_IMPORT_PROJECTIONS):
            continue
        source = path.read_text()
        for found in source_of.imports_of(source, name, ("projections",)):
            yield Finding(
                shown(path),
                _line_of_import(source, found),
                f"imports {found}: the write side does not know the read side; let eventstore.store put them together",
            )


def the_domain_is_pure() -> Iterator[Finding]:
    """The domain imports no module that does input or output, and contains no SQL."""
    for path in python_files("eventstore/core", "eventstore/domain"):
        source = path.read_text()
        for found in source_of.imports_of(source, module_name(path), source_of.IMPURE):
            yield Finding(
                shown(path), _line_of_import(source, found), f"the domain imports {found}: move it out"
            )
        for line in source_of.sql_strings(source):
            yield Finding(shown(path), line, "the domain holds SQL: move it to eventstore/sql")


def no_file_names_a_folder_of_a_machine() -> Iterator[Finding]:
    """No file contains a path of one machine, so the project runs on every machine."""
    files = python_files("eventstore", "projections", "tests", "benchmarks", "tools")
    for folder in ("eventstore", "migrations", "docs"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".sql", ".md")]
    for path in files:
        for line in source_of.machine_paths(path.read_text()):
            yield Finding(
                shown(path), line, "names a folder of one machine: use a relative or a temporary path"
            )


def each_test_states_its_claim() -> Iterator[Finding]:
    """Every test has a docstring."""
    for path in python_files("tests"):
        for line, name in source_of.tests_without_claim(path.read_text()):
            yield Finding(shown(path), line, f"{name} has no docstring: say what it claims")


def no_test_sleeps_for_long() -> Iterator[Finding]:
    """No test sleeps for a constant time that a person would notice."""
    for path in python_files("tests"):
        for line in source_of.long_sleeps(path.read_text()):
            yield Finding(shown(path), line, "a test sleeps for long: await what it waits for")


def no_test_imports_a_test() -> Iterator[Finding]:
    """Test modules share code only through helper modules, so each can be changed without reading another."""
    for path in python_files("tests"):
        source = path.read_text()
        for name in source_of.imported_tests(source, module_name(path)):
            yield Finding(
                shown(path),
                _line_of_import(source, name),
                f"imports from the test module {name}: move what both need to a helper module",
            )


def no_function_swallows_keywords() -> Iterator[Finding]:
    """A function that takes any keywords uses them."""
    for path in python_files("eventstore", "projections"):
        for line, signature in source_of.swallowed_keywords(path.read_text()):
            yield Finding(shown(path), line, f"{signature} ignores its keywords: name them or refuse them")


def one_module_of_the_command_line_writes() -> Iterator[Finding]:
    """All text passes through `eventstore.cli.output`, so that no command can forget to escape it."""
    for path in python_files("eventstore/cli"):
        where = shown(path)
        if where in MAY_WRITE:
            continue
        for name, line in source_of.terminal_writers(path.read_text()).items():
            if name != "stdout" or where not in MAY_USE_STDOUT:
                yield Finding(where, line, f"uses {name}: write with eventstore.cli.output")


def _line_of_import(source: str, name: str) -> int:
    """The line of the import that brings a module in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and name in {alias.name for alias in node.names}:
            return node.lineno
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if name == base or name in {f"{base}.{alias.name}" for alias in node.names}:
                return node.lineno
    return 1


RULES = (
    public_namespaces_are_marked,
    public_names_are_documented,
    the_write_side_does_not_import_the_read_side,
    the_domain_is_pure,
    no_file_names_a_folder_of_a_machine,
    each_test_states_its_claim,
    no_test_sleeps_for_long,
    no_test_imports_a_test,
    no_function_swallows_keywords,
    one_module_of_the_command_line_writes,
)
