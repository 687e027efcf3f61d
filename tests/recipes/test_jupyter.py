"""The page docs/recipes/jupyter.md as a notebook: each block a cell, run by a real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import shown_blocks

PAGE = "docs/recipes/jupyter.md"
# In a process of its own: the kernel's client leaves sockets to the collector, which is an error in the tests.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_each_block_runs_as_a_cell(migrated_config: DatabaseConfig, tmp_path: Path):
    """Top-level `await` works from cell to cell on one store, and a report and a curve show themselves as HTML tables."""
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "source": block.code, "metadata": {}, "outputs": [], "execution_count": None}
        for block in shown_blocks(PAGE, "python")
    ]
    file = tmp_path / "page.ipynb"
    file.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(file)],
        env=os.environ
        | {
            "DATABASE_URL": url_of(migrated_config),
            "JUPYTER_PLATFORM_DIRS": "1",
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = [output for cell in json.loads(file.read_text())["cells"] for output in cell["outputs"]]
    report, curve = ("".join(one["data"]["text/html"]) for one in shown if "text/html" in one.get("data", {}))
    assert "<table" in report
    assert "5002.75" in report
    assert "<table" in curve
    assert "100005.60" in curve
