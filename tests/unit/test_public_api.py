"""The public API is listed and documented, and the layers lie where the design puts them."""

from __future__ import annotations

import importlib
import types

import pytest

from tests.unit import house_rules as rules

PUBLIC = [path for path in rules.python_files("eventstore", "projections") if rules.is_public(path)]
# The composition root, the command that uses it, and what users copy.
MAY_IMPORT_PROJECTIONS = ("eventstore.store", "eventstore.cli", "eventstore.examples")


@pytest.mark.parametrize("path", PUBLIC, ids=rules.shown)
def test_each_public_module_lists_its_names(path):
    """`__all__` is there, sorted, without repeats, names only what exists, and misses nothing."""
    source = path.read_text()
    listed = rules.listed_names(source)
    package = path.name == "__init__.py"
    expected = rules.defined_names(source) | (rules.reexported_names(source) if package else set())
    if listed is None:
        assert package, "no literal __all__"
        assert expected == set(), "public names without a literal __all__"
        return
    assert listed == sorted(set(listed), key=rules.isort_style)
    unlisted = expected - set(listed)
    assert not unlisted, (
        f"list {', '.join(sorted(unlisted))} in __all__, or begin the name with an underscore"
    )
    module = importlib.import_module(rules.module_name(path))
    assert [name for name in listed if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", PUBLIC, ids=rules.shown)
def test_each_public_name_is_documented(path):
    """The module, each public name and each public method says what it is for."""
    module = importlib.import_module(rules.module_name(path))
    assert rules.undocumented(module, path.read_text()) == []


def test_the_write_side_does_not_import_the_read_side():
    """No module of `eventstore` imports `projections`, but for the composition root and its users."""
    offenders = {
        rules.module_name(path): rules.imports_of(path.read_text(), rules.module_name(path), ("projections",))
        for path in rules.python_files("eventstore")
        if not rules.module_name(path).startswith(MAY_IMPORT_PROJECTIONS)
    }
    assert {name: found for name, found in offenders.items() if found} == {}


def test_the_domain_is_pure():
    """The domain imports nothing that does input or output, and holds no SQL."""
    offenders = {}
    for path in rules.python_files("eventstore/domain"):
        source = path.read_text()
        found = [*rules.imports_of(source, rules.module_name(path), rules.IMPURE), *rules.sql_strings(source)]
        if found:
            offenders[rules.shown(path)] = found
    assert offenders == {}


def test_no_source_names_a_folder_of_a_machine():
    """Whatever runs here runs anywhere."""
    files = rules.python_files("eventstore", "projections", "tests", "benchmarks")
    for folder in ("eventstore", "migrations", "docs"):
        files += [path for path in (rules.ROOT / folder).rglob("*") if path.suffix in (".sql", ".md")]
    offenders = {rules.shown(path): rules.machine_paths(path.read_text()) for path in files}
    assert {name: lines for name, lines in offenders.items() if lines} == {}


def test_each_test_states_its_claim():
    """Every test has a docstring."""
    offenders = {
        rules.shown(path): rules.tests_without_claim(path.read_text()) for path in rules.python_files("tests")
    }
    assert {name: tests for name, tests in offenders.items() if tests} == {}


def test_no_test_sleeps_for_long():
    """No test sleeps for a constant time that a person would notice: it awaits what it waits for."""
    offenders = {
        rules.shown(path): rules.long_sleeps(path.read_text()) for path in rules.python_files("tests")
    }
    assert {name: lines for name, lines in offenders.items() if lines} == {}


class TestTheRulesCanFail:
    """Each rule finds what breaks it: a check that cannot fail is none."""

    def test_unlisted(self):
        """A function, a class and a constant beside a short `__all__` are found; private names are not."""
        source = "__all__ = ['a']\ndef a(): ...\nclass B: ...\nC_MAX = 1\ndef _d(): ...\nT = 1\n"
        assert rules.defined_names(source) - set(rules.listed_names(source) or ()) == {"B", "C_MAX"}

    def test_not_reexported(self):
        """A package's own imports count as its names; another project's do not."""
        source = "from eventstore.errors import DomainError as Wrong\nfrom uuid import UUID\n"
        assert rules.reexported_names(source) == {"Wrong"}

    def test_unsorted(self):
        """Constants come first, then classes, then functions; 9 before 10."""
        names = ["b10", "a", "b9", "Order", "LIMIT", "Fill"]
        assert sorted(names, key=rules.isort_style) == ["LIMIT", "Fill", "Order", "a", "b9", "b10"]

    def test_undocumented(self):
        """A class, a method and a constant without a word are found."""
        source = "__all__ = ['LIMIT', 'Thing']\nLIMIT = 1\nclass Thing:\n    def act(self): ...\n    def _own(self): ...\n"
        module = types.ModuleType("eventstore.made_up", "Documented.")
        exec(
            compile(source, "made_up", "exec"),
            vars(module) | {"__name__": "eventstore.made_up"},
            vars(module),
        )
        module.Thing.__module__ = "eventstore.made_up"
        assert rules.undocumented(module, source) == [
            "eventstore.made_up.LIMIT",
            "eventstore.made_up.Thing",
            "eventstore.made_up.Thing.act",
        ]

    @pytest.mark.parametrize(
        "source",
        [
            "import projections.engine.worker",
            "from projections.engine import worker",
            "def late():\n    from projections.builtin import X",
            "from ..projections import x",
        ],
    )
    def test_forbidden_import(self, source):
        """Every way to import is seen, inside a function too."""
        assert rules.imports_of(source, "eventstore.log", ("projections",))

    def test_impure(self):
        """A task, a driver and a statement are found; the word select in a sentence is not."""
        assert rules.imports_of("import asyncio.tasks", "eventstore.domain.order", rules.IMPURE)
        assert rules.sql_strings("x = 'SELECT version FROM events'") == [1]
        assert rules.sql_strings("x = 'select the fills from this order'") == []

    def test_machine_path(self):
        """A home folder is found; a path inside a URL or below the current folder is not."""
        assert rules.machine_paths("x = '" + "/ho" + "me/me/x'") == [1]
        assert rules.machine_paths("x = 'docs" + "/ho" + "me/x'") == []

    def test_no_claim_and_sleep(self):
        """A test without a docstring and one that sleeps for a second are found."""
        source = "import time\nasync def test_a():\n    time.sleep(1)\n    await asyncio.sleep(0.01)\n"
        assert rules.tests_without_claim(source) == ["test_a"]
        assert rules.long_sleeps(source) == [3]
