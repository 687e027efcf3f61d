"""Rules for the documentation: blocks that can be checked, commands that exist, links that lead somewhere.

Whether a snippet does what the page says, only running it shows: tests/docs does that.
"""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventstore.database.migration_files import load_migrations
from eventstore.errors import MigrationError
from tools.lint import commands, links, sql_header
from tools.lint.findings import ROOT, Finding, line_of, shown
from tools.snippets import Block, SnippetError, blocks

# The decisions are a record of their time: their code is not kept up, and the tests do not run it.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts),
]
EVERY_PAGE = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
# Any other spelling of a language would let a snippet escape from the tests.
LANGUAGES = {"bash", "ini", "json", "mermaid", "python", "sql", "text", "toml", "yaml"}
SITE = "zensical.toml"
README_COMMANDS = ("make demo", "make test")


def blocks_can_be_checked() -> Iterator[Finding]:
    """Each block says its language; each that is not executed says why; every fence is closed."""
    for path in EVERY_PAGE:
        try:
            found = blocks(path.read_text())
        except SnippetError as error:
            yield Finding(shown(path), 1, str(error))
            continue
        for block in found:
            if block.language not in LANGUAGES:
                known = ", ".join(sorted(LANGUAGES))
                yield Finding(
                    shown(path), block.line - 1, f"the language {block.language!r} is none of: {known}"
                )
            if block.markers.get("not executed") == "":
                yield Finding(shown(path), block.line - 1, "`not executed` gives no reason: add one")


def _bash(path: Path) -> list[Block]:
    return [block for block in blocks(path.read_text()) if block.language == "bash"]


def commands_exist() -> Iterator[Finding]:
    """Each command of a bash block is one that a reader can type."""
    for path in EVERY_PAGE:
        for block in _bash(path):
            if "not executed" in block.markers:
                continue
            for line in commands.command_lines(block.code):
                complaint = commands.complaint(line)
                if complaint:
                    yield Finding(shown(path), block.line, f"{line}: {complaint}")


def links_lead_somewhere() -> Iterator[Finding]:
    """Each relative link names a file of the project, and a heading that is in it."""
    for path in EVERY_PAGE:
        text = path.read_text()
        for target in links.broken(path, ROOT):
            yield Finding(shown(path), line_of(text, target), f"the link {target} leads nowhere: repair it")


def the_readme_says_how_to_try_and_to_test() -> Iterator[Finding]:
    """The README has both commands: how to see it run, and how to test it."""
    readme = ROOT / "README.md"
    typed = {
        line.split("#")[0].strip() for block in _bash(readme) for line in commands.command_lines(block.code)
    }
    for command in README_COMMANDS:
        if command not in typed:
            yield Finding(shown(readme), 1, f"`{command}` is missing: show it")


def make_plans_each_target() -> Iterator[Finding]:
    """`make -n` of each target that has a help text plans something and fails at nothing."""
    for target in sorted(commands.documented_targets()):
        done = subprocess.run(
            ["make", "-n", "-B", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode or not done.stdout.strip():
            yield Finding(
                "Makefile", 1, f"`make {target}` plans nothing: {done.stderr.strip() or 'no command'}"
            )


def the_guide_follows_its_own_rules() -> Iterator[Finding]:
    """The migration and the statement that CONTRIBUTING shows are read by what reads the real ones."""
    guide = ROOT / "CONTRIBUTING.md"
    for block in blocks(guide.read_text()):
        if block.language != "sql":
            continue
        try:
            if "migrate:up" in block.code:
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "0001_tunings.sql").write_text(block.code)
                    load_migrations(Path(folder))
            else:
                sql_header.parse(block.code)
        except (MigrationError, ValueError) as error:
            yield Finding(shown(guide), block.line, f"is not in the form that the page asks for: {error}")


def each_page_is_in_the_navigation() -> Iterator[Finding]:
    """The site's navigation has every page of the documentation once, and nothing else of it."""
    text = (ROOT / SITE).read_text()
    named = list(_pages_of(tomllib.loads(text)["project"]["nav"]))
    pages = {shown(path) for path in EVERY_PAGE}
    for page in sorted(pages - set(named)):
        yield Finding(SITE, line_of(text, "nav ="), f"{page} is not in the navigation: add it")
    for page in sorted(set(named)):
        if not (ROOT / page).is_file():
            yield Finding(SITE, line_of(text, page), f"there is no page {page}: remove it")
        elif named.count(page) > 1:
            yield Finding(SITE, line_of(text, page), f"{page} is in the navigation twice: remove one")


def _pages_of(navigation: list[dict[str, Any]]) -> Iterator[str]:
    for entry in navigation:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from _pages_of(target)


RULES = (
    blocks_can_be_checked,
    commands_exist,
    links_lead_somewhere,
    each_page_is_in_the_navigation,
    the_readme_says_how_to_try_and_to_test,
    make_plans_each_target,
    the_guide_follows_its_own_rules,
)
