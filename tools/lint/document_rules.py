"""Rules for the documentation: blocks can be checked, commands exist, links have a target.

tests/docs runs the snippets, and so checks that they do what the page says.
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

# The decision records describe their time: their code is not updated, and the tests do not run it.
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
# The tests would not see a snippet whose language is spelt in another way.
LANGUAGES = {"bash", "dockerfile", "ini", "json", "mermaid", "python", "sql", "text", "toml", "yaml"}
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
                    shown(path), block.line - 1, f"the language {block.language!r} is not one of: {known}"
                )
            if block.markers.get("not executed") == "":
                yield Finding(shown(path), block.line - 1, "`not executed` gives no reason: add one")


def _bash(path: Path) -> list[Block]:
    return [block for block in blocks(path.read_text()) if block.language == "bash"]


def commands_exist() -> Iterator[Finding]:
    """Each command of a bash block exists."""
    for path in EVERY_PAGE:
        for block in _bash(path):
            if "not executed" in block.markers:
                continue
            for line in commands.command_lines(block.code):
                complaint = commands.complaint(line)
                if complaint:
                    yield Finding(shown(path), block.line, f"{line}: {complaint}")


def links_lead_somewhere() -> Iterator[Finding]:
    """Each relative link leads to a file of the project, and to a heading in it."""
    for path in EVERY_PAGE:
        text = path.read_text()
        for target in links.broken(path, ROOT):
            yield Finding(
                shown(path),
                line_of(text, target),
                f"the target of the link {target} does not exist: repair it",
            )


def the_readme_says_how_to_try_and_to_test() -> Iterator[Finding]:
    """The README has the commands that run the demo and the tests."""
    readme = ROOT / "README.md"
    typed = {
        line.split("#")[0].strip() for block in _bash(readme) for line in commands.command_lines(block.code)
    }
    for command in README_COMMANDS:
        if not any(line == command or line.startswith(f"{command} ") for line in typed):
            yield Finding(shown(readme), 1, f"`{command}` is missing: show it")


def make_plans_each_target() -> Iterator[Finding]:
    """`make -n` of each target with a help text succeeds and plans at least one command."""
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
    """The migration and the statement in CONTRIBUTING are parsed like the real ones."""
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
            yield Finding(
                shown(guide), block.line, f"does not have the format that the page describes: {error}"
            )


def each_page_is_in_the_navigation() -> Iterator[Finding]:
    """The site's navigation has every page of the documentation exactly once."""
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
