"""The scripts that set a machine up: they find a Python that is new enough, or say in one line what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def find_python(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run tools/find-python where nothing but the programs of one folder is on the PATH."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(
        ["/bin/sh", ROOT / "tools" / "find-python"],
        env=kept | {"PATH": str(path)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(folder: Path, name: str, script: str) -> None:
    """Put a program into a folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_shim_that_fails_is_passed_over(tmp_path: Path):
    """A version manager's shim of a version that is not active is on the PATH, and not the one to take."""
    program(tmp_path, "python3.13", "exit 127")
    program(tmp_path, "python3.11", f'exec "{sys.executable}" "$@"')
    done = find_python(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).samefile(sys.executable)


def test_the_variable_wins(tmp_path: Path):
    """PYTHON names the one to take, whatever is on the PATH."""
    program(tmp_path, "python3.13", "exit 127")
    assert find_python(tmp_path, PYTHON=sys.executable).stdout.strip() == sys.executable


@pytest.mark.parametrize(
    ("name", "script", "said"),
    [
        (
            "python3",
            "case $1 in -c) exit 3;; *) echo Python 3.9.1;; esac",
            "3.11 or newer is needed, found only: python3 (Python 3.9.1)",
        ),
        ("python3", "exit 4", "python3 cannot make virtual environments"),
        ("unrelated", "exit 0", "3.11 or newer is needed, none was found"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, name: str, script: str, said: str):
    """Too old, without its venv module, or not there: one line, exit status 2."""
    program(tmp_path, name, script)
    done = find_python(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_make_stops_with_that_line(tmp_path: Path):
    """`make setup` with a Python that is too old says so, makes no environment and fails."""
    program(tmp_path, "old", "case $1 in -c) exit 3;; *) echo Python 3.9.1;; esac")
    done = subprocess.run(
        ["make", "setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={tmp_path / 'old'}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "found only:" in done.stderr
    assert not (tmp_path / "venv").exists()
