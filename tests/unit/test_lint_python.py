"""Each lint rule for Python finds what breaks it: a check that cannot fail is none."""

from __future__ import annotations

import types

import pytest

from tools.lint import python_source as source_of


def test_unlisted():
    """A function, a class and a constant beside a short `__all__` are found; private names are not."""
    source = "__all__ = ['a']\ndef a(): ...\nclass B: ...\nC_MAX = 1\ndef _d(): ...\nT = 1\n"
    assert source_of.defined_names(source) - set(source_of.listed_names(source) or ()) == {"B", "C_MAX"}


def test_not_reexported():
    """A package's own imports count as its names; another project's do not."""
    source = "from eventstore.errors import DomainError as Wrong\nfrom uuid import UUID\n"
    assert source_of.reexported_names(source) == {"Wrong"}


def test_unsorted():
    """Constants come first, then classes, then functions; 9 before 10."""
    names = ["b10", "a", "b9", "Order", "LIMIT", "Fill"]
    assert sorted(names, key=source_of.isort_style) == ["LIMIT", "Fill", "Order", "a", "b9", "b10"]


def test_undocumented():
    """A class, a method and a constant without a word are found."""
    source = "__all__ = ['LIMIT', 'Thing']\nLIMIT = 1\nclass Thing:\n    def act(self): ...\n    def _own(self): ...\n"
    module = types.ModuleType("eventstore.made_up", "Documented.")
    exec(
        compile(source, "made_up", "exec"),
        vars(module) | {"__name__": "eventstore.made_up"},
        vars(module),
    )
    module.Thing.__module__ = "eventstore.made_up"
    assert source_of.undocumented(module, source) == [
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
def test_forbidden_import(source):
    """Every way to import is seen, inside a function too."""
    assert source_of.imports_of(source, "eventstore.log", ("projections",))


def test_impure():
    """A task, a driver and a statement are found; the word select in a sentence is not."""
    assert source_of.imports_of("import asyncio.tasks", "eventstore.domain.order", source_of.IMPURE)
    assert source_of.sql_strings("x = 'SELECT version FROM events'") == [1]
    assert source_of.sql_strings("x = 'select the fills from this order'") == []


def test_machine_path():
    """A home folder is found; a path inside a URL or below the current folder is not."""
    assert source_of.machine_paths("x = '" + "/ho" + "me/me/x'") == [1]
    assert source_of.machine_paths("x = 'docs" + "/ho" + "me/x'") == []


def test_no_claim_and_sleep():
    """A test without a docstring and one that sleeps for a second are found."""
    source = "import time\nasync def test_a():\n    time.sleep(1)\n    await asyncio.sleep(0.01)\n"
    assert source_of.tests_without_claim(source) == [(2, "test_a")]
    assert source_of.long_sleeps(source) == [3]


def test_swallowed_keywords():
    """Keywords that are passed on are used; those that nobody looks at are not."""
    source = "def a(**keywords): return keywords\ndef b(**options): ...\n"
    assert source_of.swallowed_keywords(source) == [(2, "b(**options)")]


def test_terminal_writers():
    """Each way past the module of the output is found."""
    source = "import rich\nfrom rich.table import Table\nsys.stderr.write(x)\nprint(x)\ntyper.echo(x)"
    assert source_of.terminal_writers(source) == {
        "rich": 1,
        "rich.table": 2,
        "stderr": 3,
        "print": 4,
        "echo": 5,
    }


@pytest.mark.parametrize(
    "source",
    [
        "from tests.unit.test_order import place",
        "from tests.unit import test_order",
        "import tests.unit.test_order",
        "def late():\n    from ..unit.test_order import place",
    ],
)
def test_import_of_a_test(source):
    """Every way to import from a test module is seen; a helper module may be imported."""
    assert source_of.imported_tests(source, "tests.integration.test_log") == ["tests.unit.test_order"] or (
        "tests.unit.test_order" in source_of.imported_tests(source, "tests.integration.test_log")
    )
    assert source_of.imported_tests("from tests.servers import Server", "tests.unit.test_a") == []
