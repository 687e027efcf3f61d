"""Rules for the wording of docstrings, comments and documentation: phrases that a reader has to read twice.

Each phrase of `PHRASES` is refused in the rooms that `ROOMS` lists, and each says what to write instead.
A room is added to the list when its text is edited, and stays on it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from tools.lint.findings import ROOT, Finding, shown

ROOMS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/adr",
    "docs/api",
    "docs/domain",
    "docs/reference",
    "migrations",
    "benchmarks",
    "eventstore/*.py",
    "eventstore/cli",
    "eventstore/core",
    "eventstore/domain",
    "eventstore/log",
    "eventstore/evidence",
    "eventstore/export",
    "eventstore/database",
    "eventstore/examples",
    "eventstore/mapping",
    "eventstore/private_names",
    "eventstore/sql",
    "eventstore/testing",
    "eventstore/replay",
    "eventstore/repositories",
    "eventstore/ui",
    "projections",
    "tools",
)
"""Files, folders and patterns below the root of the project."""

NOT_YET = ("docs/performance.md", "docs/glossary.md", "tools/lint/wording_rules.py")
"""Files inside a room that are not searched: not edited yet, or, like this one, full of the phrases."""

PHRASES = {
    r"(?i)\b(?:lanes?|milestones?|mend(?:s|ed|ing)?|crew|bells?)\b": "use the word of docs/glossary.md",
    r"\bwhere there (?:is|are) (?:none|no)\b": "write 'if there is none', or name the case: 'None without a head'",
    r"\bNone: (?:there is|it has|it is|one|none|all|not|the|that|as)\b": "write 'None if ...' or 'None for ...'",
    r"\b(?:is|are) told\b": "name who receives what: 'the callback receives the position'",
    r"\b(?:to be|be|is) had\b": "write 'is available', 'can be read' or 'exists'",
    r"\bhave to be had\b": "write 'must exist' or 'must be available'",
    r"(?:[.:;,(] |\b(?:for|of|by|to|from|and) )[Ww]ho (?:has|have|waits?|reads?|handles?|follows?|keeps?|writes?)\b": (
        "'who' needs a noun before it: write 'a reader that ...' or 'the task that ...'"
    ),
    r"\b[Ww]hatever (?:dies|happens|it is|is in it|becomes of)\b": "say which cases there are",
    r"(?<![Tt]here )\b(?:is|are) no (?:order|id|head|proof|number|event|table|stream|projection|setting|entity|class|folder)\b": (
        "write 'is not a ...', or 'there is no ...'"
    ),
    r"\bas it is one\b": "say the reason in words",
    r"\b(?:is|was|are|were) as (?:it|they) (?:was|were|is|are)\b(?! sealed)": "write 'is unchanged'",
    r"\bunless told otherwise\b": "write 'by default'",
    r"\bgiven back\b": "write 'returned'",
    r"\b(?:held|holds|hold) (?:it |them )?to (?:its|their|the log)\b": "write 'compare with' or 'check against'",
    r"\bmade anew\b": "write 'computed again', 'created again' or 'rebuilt'",
    r"\b(?:may|to) be given again\b": "write 'may be repeated'",
    r"\bof (?:one's|its|their) own\b(?! [a-z])": "write 'its own ...', 'separate', or leave it out",
    r"\bstands? (?:in the place|there|still)\b": "write 'is', 'replaces' or 'stops'",
    r"\bnot had in time\b": "write 'not available in time'",
}
"""Regular expressions of phrases, each with what to write instead."""

_PHRASES = [(re.compile(phrase), advice) for phrase, advice in PHRASES.items()]


def complaints(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number, from 1, and the message for each refused phrase of a text.

    A phrase may continue on the next line, also in a comment, so the lines are searched as one.
    """
    joined, starts = "", []
    for line in text.split("\n"):
        starts.append(len(joined))
        joined += f"{line.strip().lstrip('#- ')} "
    for phrase, advice in _PHRASES:
        for match in phrase.finditer(joined):
            yield bisect_right(starts, match.start()), f"{match[0].strip()!r} is hard to read: {advice}"


def prose_of_python(source: str) -> str:
    """Return the docstrings, comments and string literals of a module, each on its line; all else is blank."""
    lines = source.split("\n")
    kept = [""] * len(lines)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            kept[token.start[0] - 1] = token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                kept[number - 1] = lines[number - 1].strip()
    return "\n".join(kept)


def prose_of_page(text: str) -> str:
    """Return a page without its blocks of code and without code between backticks."""
    text = re.sub(r"(?ms)^```.*?^```$", lambda block: "\n" * block[0].count("\n"), text)
    return re.sub(r"`[^`\n]*`", "`x`", text)


def _files() -> Iterator[Path]:
    for room in ROOMS:
        path = ROOT / room
        found = sorted(path.rglob("*")) if path.is_dir() else sorted(ROOT.glob(room))
        yield from (
            one for one in found if one.suffix in (".py", ".md", ".sql") and shown(one) not in NOT_YET
        )


def text_reads_at_once() -> Iterator[Finding]:
    """No text of an edited room has one of the refused phrases."""
    for path in _files():
        text = path.read_text()
        if path.suffix == ".py":
            text = prose_of_python(text)
        elif path.suffix == ".md":
            text = prose_of_page(text)
        for line, message in complaints(text):
            yield Finding(shown(path), line, message)


RULES = (text_reads_at_once,)
