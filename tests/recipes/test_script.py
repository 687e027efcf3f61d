"""The program of docs/recipes/script.md, run as a file, as the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import block_with

PAGE = "docs/recipes/script.md"


def test_a_second_run_books_nothing_again(database_config: DatabaseConfig, tmp_path: Path):
    """The first run migrates and books the file, the second knows all of it, and both print the position of the page."""
    (tmp_path / "book_fills.py").write_text(block_with(PAGE, "python", "async def main"))
    (tmp_path / "fills.csv").write_text(block_with(PAGE, "text", "execution_id,"))

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-W", "error", "book_fills.py", "fills.csv"],
            cwd=tmp_path,
            env=os.environ | {"DATABASE_URL": url_of(database_config)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    printed = block_with(PAGE, "text", "counted 3")
    assert run() == printed
    assert run() == printed.replace("counted 3, known 0", "counted 0, known 3")
