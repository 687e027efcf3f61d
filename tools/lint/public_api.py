"""The public namespaces: the table of docs/api/index.md is the one list of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.lint.findings import ROOT

PAGE = ROOT / "docs" / "api" / "index.md"
OWN = ("eventstore", "projections")
_ROW = re.compile(r"^\| \[`([\w.]+)`\]\(\1\.md\) \|", re.MULTILINE)


def namespaces() -> tuple[str, ...]:
    """The namespaces that the page names, in its order."""
    return tuple(_ROW.findall(PAGE.read_text()))


def imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a program imports of the library: a module and a name in it, which is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OWN:
            for alias in node.names:
                yield node.module or "", alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in OWN:
                    yield alias.name, ""
