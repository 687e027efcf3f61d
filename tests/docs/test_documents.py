"""Every snippet of the README and the documentation does what it says; `make lint` checks the rest of each page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import snippets
from tools.lint.document_rules import PAGES
from tools.lint.findings import shown

DOCUMENT_TIMEOUT_S = 180


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_each_snippet_runs(path: Path, request: pytest.FixtureRequest, tmp_path: Path):
    """A page's blocks run in their order on an empty migrated database, and print what the page says."""
    executed = [
        block
        for block in snippets.blocks(path.read_text())
        if (block.language == "python" or "run" in block.markers) and "not executed" not in block.markers
    ]
    if not executed:
        return
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", snippets.__file__, str(path)],
        cwd=tmp_path,
        # Hypothesis takes its profile for CI, in which it does not matter how fast a busy machine draws examples.
        env=kept | {"DATABASE_URL": request.getfixturevalue("migrated_url"), "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOCUMENT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{len(executed)} blocks ran\n")
