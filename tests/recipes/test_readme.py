"""The README, followed as a newcomer does: its commands in their order, and each program as a file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import block_with, shown_blocks
from tools.snippets import Block

PROGRAMS = shown_blocks("README.md", "python")


def without_database() -> dict[str, str]:
    """The environment of a newcomer, with the scripts of this Python on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    scripts = str(Path(sys.executable).parent)
    return kept | {"PATH": scripts + os.pathsep + kept.get("PATH", "")}


def output_after(program: Block) -> str:
    """What the README says that a program prints."""
    (found,) = [
        one.code
        for one in shown_blocks("README.md", "text")
        if "output" in one.markers and one.line > program.line
    ][:1]
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda block: f"line {block.line}")
def test_each_program_runs_as_a_file_of_its_own(
    program: Block, migrated_config: DatabaseConfig, tmp_path: Path
):
    """Pasted into a file, it needs nothing of the other programs, and prints what the README says."""
    (tmp_path / "program.py").write_text(program.code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path,
        env=without_database() | {"DATABASE_URL": url_of(migrated_config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output_after(program), "")


def test_the_commands_before_the_first_program_prepare_it(tmp_path: Path):
    """On a machine without a server and without variables, the commands in their order make the program run."""
    commands = [
        line
        for line in block_with("README.md", "bash", "eventstore migrate").splitlines()
        if not line.startswith("pip install")
    ]
    (tmp_path / "program.py").write_text(PROGRAMS[0].code)
    script = "\n".join(
        ["trap 'eventstore stop --data ./data' EXIT", *commands, "python -W error program.py >printed"]
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=without_database(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "printed").read_text() == output_after(PROGRAMS[0])
