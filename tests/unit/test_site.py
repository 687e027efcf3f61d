"""The documentation site: what it is built of, and what it is refused for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools.lint.findings import ROOT
from tools.site.__main__ import CONFIG, build

HOME = "# Home\n\nPlace an order. See [the other page](docs/other.md#a-heading).\n"
OTHER = "# Other\n\n## A heading\n\n::: shop\n"
SHOP = '''"""A shop."""

__all__ = ["sell"]


def sell(price: int) -> None:
    """Sell something for a price.

    Args:
        price: In cents.

    Raises:
        ValueError: The price is negative.
    """
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two pages and a module, with the configuration of this one."""
    config = re.sub(
        r"^nav = \[.*?^\]\n",
        'nav = [{ "Home" = "README.md" }, { "Other" = "docs/other.md" }]\n',
        (ROOT / CONFIG).read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
    (tmp_path / CONFIG).write_text(config)
    (tmp_path / "README.md").write_text(HOME)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text(OTHER)
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def test_the_site_has_the_pages_and_the_docstrings_and_a_search_without_a_network(project: Path):
    """Pages and docstrings are found by the search, and no page loads anything from another host."""
    assert build(project) == 0
    site = project / "build" / "site"
    found = json.dumps(json.loads((site / "search.json").read_text()))
    assert "Place an order" in found
    assert "Sell something for a price" in found
    for page in site.rglob("*.html"):
        assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?://[^"]*"', page.read_text()) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("README.md", "docs/other.md#", "docs/missing.md#"),
        ("README.md", "#a-heading", "#no-heading"),
        ("docs/other.md", "::: shop", "::: no_such_module"),
        ("shop.py", "ValueError: The price is negative.", "As `open`."),
        ("shop.py", "        price: In cents.", "        prices: In cents."),
    ],
)
def test_the_site_is_not_built_of_what_is_broken(project: Path, file: str, old: str, new: str):
    """A link that leads nowhere, a module that is missing and a docstring that cannot be read fail the build."""
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert build(project) == 1
