"""The programs and files that a page of the documentation shows."""

from __future__ import annotations

from tools import snippets
from tools.lint.findings import ROOT


def shown_blocks(page: str, language: str, *, executed: bool = True) -> list[snippets.Block]:
    """The blocks of a page in one language, in order; without those that are not executed, unless asked for."""
    found = [one for one in snippets.blocks((ROOT / page).read_text()) if one.language == language]
    assert found, f"{page} has no block of {language}"
    return [one for one in found if not (executed and "not executed" in one.markers)]


def block_with(page: str, language: str, text: str) -> str:
    """The one block of a page that contains a text."""
    (found,) = [one.code for one in shown_blocks(page, language, executed=False) if text in one.code]
    return found
