"""The links of the documentation that lead to the project's own files."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")


def targets(text: str) -> list[str]:
    """The link targets of a document without those on other hosts; code is not searched."""
    prose = _INLINE.sub("``", _FENCED.sub("", text))
    found = [inline or reference for inline, reference in _LINK.findall(prose)]
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """The anchors that a host's renderer gives to a document's headings, and those set by hand."""
    prose = _FENCED.sub("", text)
    slugs: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        slugs.add(slug if slug not in slugs else f"{slug}-1")
    return slugs | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", prose))


def broken(path: Path, root: Path) -> list[str]:
    """The links of a document whose target does not exist or is outside the project."""
    found = []
    for target in targets(path.read_text()):
        file, _, anchor = unquote(target).partition("#")
        to = (path.parent / file).resolve() if file else path.resolve()
        missing = not to.exists() or not to.is_relative_to(root.resolve())
        if missing or (anchor and to.suffix == ".md" and anchor not in anchors(to.read_text())):
            found.append(target)
    return found
