"""The public API: one list of namespaces, and all that the documentation shows comes from them."""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Iterator

import pytest

from tools import snippets
from tools.lint.document_rules import PAGES
from tools.lint.findings import ROOT, module_name, python_files, shown
from tools.lint.public_api import PAGE, imported_names, namespaces
from tools.lint.python_source import listed_names

# Code to copy, which is no API: pages may show how to run it. The guards and checks that it shares with the library are not copied.
EXAMPLES = "eventstore.examples"
SHARED_WITH_EXAMPLES = {"eventstore.limits", "eventstore.read_side"}
# The paths that programs have used from the beginning.
PROMISED = {
    "eventstore",
    "eventstore.database",
    "eventstore.repositories",
    "eventstore.domain.order",
    "eventstore.domain.position",
    "eventstore.domain.portfolio",
    "eventstore.errors",
    "eventstore.testing",
    "projections",
}


def _shown_on_pages() -> Iterator[tuple[str, str, str]]:
    """The page, the module and the name of each import that a page shows."""
    for path in PAGES:
        for block in snippets.blocks(path.read_text()):
            if block.language == "python":
                # A block may await at its top level.
                tree = ast.parse("async def block():\n" + textwrap.indent(block.code, "    ") + "    pass\n")
                for module, name in imported_names(tree):
                    yield shown(path), module, name


def _shown_in_examples() -> Iterator[tuple[str, str, str]]:
    for path in python_files("eventstore/examples"):
        for module, name in imported_names(ast.parse(path.read_text())):
            if module not in SHARED_WITH_EXAMPLES:
                yield shown(path), module, name


@pytest.mark.parametrize("imports", [_shown_on_pages, _shown_in_examples], ids=["pages", "examples"])
def test_what_the_documentation_imports_is_public(imports):
    """Each import that a page or an example shows names a public namespace and one of its names."""
    found = list(imports())
    assert len(found) > 10
    public = namespaces()
    wrong = [
        f"{where}: {module} {name}"
        for where, module, name in found
        if not module.startswith(EXAMPLES)
        and (module not in public or (name and name not in importlib.import_module(module).__all__))
    ]
    assert wrong == []


def test_the_promised_paths_are_public():
    """No namespace that programs use already is left out."""
    assert set(namespaces()) >= PROMISED


def test_all_marks_exactly_the_public_namespaces():
    """A module with `__all__` is public, one without is internal: the source says the same as the page."""
    marked = {
        module_name(path)
        for path in python_files("eventstore", "projections")
        if listed_names(path.read_text()) is not None
    }
    assert marked == set(namespaces())


@pytest.mark.parametrize("name", namespaces())
def test_each_namespace_has_what_it_lists_and_a_page(name: str):
    """Each listed name can be imported, and the site has a page of the namespace."""
    module = importlib.import_module(name)
    assert [listed for listed in module.__all__ if not hasattr(module, listed)] == []
    assert f"\n::: {name}\n" in (PAGE.parent / f"{name}.md").read_text()


def test_each_page_is_of_a_namespace():
    """No page is left of a namespace that is gone."""
    assert {path.stem for path in (ROOT / "docs" / "api").glob("*.md")} == {"index", *namespaces()}


def test_a_name_is_one_thing_in_every_namespace():
    """Two public namespaces that list one name mean one object, so it does not matter where it is imported from."""
    objects: dict[str, object] = {}
    for namespace in namespaces():
        module = importlib.import_module(namespace)
        for name in module.__all__:
            # Two kinds of findings: one of the evidence, one of the audit.
            if name != "Finding":
                assert objects.setdefault(name, getattr(module, name)) is getattr(module, name), name
