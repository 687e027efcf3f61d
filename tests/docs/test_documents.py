"""Every snippet of the README and the documentation does what it says, and every link leads somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.database.migration_files import load_migrations
from tests.docs import commands, document, links
from tests.unit import sql_header

ROOT = Path(__file__).resolve().parents[2]
# The decisions are a record of their time: their code is not kept up.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts),
]
EVERY_PAGE = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
]
# Any other spelling of a language would let a snippet escape from here.
LANGUAGES = {"bash", "ini", "json", "mermaid", "python", "sql", "text", "toml", "yaml"}
DOCUMENT_TIMEOUT_S = 180


def shown(path: Path) -> str:
    """A page as a reader of a failure wants it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_each_snippet_runs(path: Path, request: pytest.FixtureRequest, tmp_path: Path):
    """A page's blocks run in their order on an empty migrated database, and print what the page says."""
    executed = [
        block
        for block in document.blocks(path.read_text())
        if (block.language == "python" or "run" in block.markers) and "not executed" not in block.markers
    ]
    if not executed:
        return
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", document.__file__, str(path)],
        cwd=tmp_path,
        env=kept | {"DATABASE_URL": request.getfixturevalue("migrated_url")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOCUMENT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{len(executed)} blocks ran\n")


@pytest.mark.parametrize("path", EVERY_PAGE, ids=shown)
def test_each_block_can_be_checked(path: Path):
    """Each block says its language; each that is not executed says why; every other marker is one of ours."""
    found = document.blocks(path.read_text())
    assert [block.line for block in found if block.language not in LANGUAGES] == []
    assert [block.line for block in found if block.markers.get("not executed") == ""] == []


@pytest.mark.parametrize("path", EVERY_PAGE, ids=shown)
def test_each_command_exists(path: Path):
    """Each command of a bash block is one that a reader can type."""
    complaints = [
        f"line {block.line}: {line}: {said}"
        for block in document.blocks(path.read_text())
        if block.language == "bash" and "not executed" not in block.markers
        for line in commands.command_lines(block.code)
        if (said := commands.complaint(line))
    ]
    assert complaints == []


@pytest.mark.parametrize("path", EVERY_PAGE, ids=shown)
def test_each_link_leads_somewhere(path: Path):
    """Each relative link names a file of the project, and a heading that is in it."""
    assert links.broken(path, ROOT) == []


@pytest.mark.parametrize(
    "target", ["setup", "test", "test-all", "lint", "types", "bench", "docs", "demo", "clean", "help"]
)
def test_make_knows_its_targets(target: str):
    """`make -n` of each documented target plans something and fails at nothing."""
    done = subprocess.run(
        ["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_says_the_two_commands():
    """The README tells both: how to see it run, and how to test it."""
    typed = {
        line
        for block in document.blocks((ROOT / "README.md").read_text())
        if block.language == "bash"
        for line in commands.command_lines(block.code)
    }
    assert {"make demo", "make test"} <= {line.split("#")[0].strip() for line in typed}


def test_the_guides_sql_has_the_form_that_it_asks_for(tmp_path: Path):
    """The migration and the statement that CONTRIBUTING shows are read by what reads the real ones."""
    shown_sql = [
        block.code
        for block in document.blocks((ROOT / "CONTRIBUTING.md").read_text())
        if block.language == "sql"
    ]
    (migration,) = (code for code in shown_sql if "migrate:up" in code)
    (statement,) = (code for code in shown_sql if "migrate:up" not in code)
    (tmp_path / "0001_tunings.sql").write_text(migration)
    (read,) = load_migrations(tmp_path)
    assert read.creates == ("tunings",)
    assert [parameter.number for parameter in sql_header.parse(statement).parameters] == [1, 2, 3]
